-- Health of a peerwalk.dev ConnectivityCheck.
--
-- The status follows kstatus: observedGeneration, the conditions Ready, Reconciling and Stalled, each with an
-- observedGeneration of its own. Nothing is Healthy unless Ready=True was said of the current generation.
-- Only base functions are used (no string.*, math.*, os.*), so the script runs with useOpenLibs on and off.
local hs = { status = "Progressing", message = "Waiting for the Peerwalk operator" }

if obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "Checking is suspended"
  return hs
end

local status = obj.status
if status == nil then
  return hs
end

-- The schema's default is -1: nobody has seen the object yet.
local generation = obj.metadata.generation
if generation ~= nil and status.observedGeneration ~= generation then
  if status.observedGeneration ~= nil and status.observedGeneration >= 0 then
    hs.message = "Waiting for the change of the spec to be seen"
  end
  return hs
end

local byType = {}
for _, condition in ipairs(status.conditions or {}) do
  local old = generation ~= nil and condition.observedGeneration ~= nil and condition.observedGeneration < generation
  if not old then
    byType[condition.type] = condition
  end
end

local function isTrue(condition)
  return condition ~= nil and condition.status == "True"
end

local ready = byType["Ready"]

-- The message of a condition, or else of Ready, or else its reason.
local function text(condition)
  for _, said in ipairs({ condition, ready }) do
    if said.message ~= nil and said.message ~= "" then
      return said.message
    end
  end
  return condition.reason or hs.message
end

if isTrue(byType["Stalled"]) then
  hs.status = "Degraded"
  hs.message = text(byType["Stalled"])
elseif isTrue(byType["Reconciling"]) then
  hs.message = text(byType["Reconciling"])
elseif ready ~= nil then
  if ready.status == "True" then
    hs.status = "Healthy"
  elseif ready.status == "False" then
    hs.status = "Degraded"
  end
  hs.message = text(ready)
end

return hs
