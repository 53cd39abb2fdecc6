//! Requests and limits, in quantities of the Kubernetes API (apimachinery `pkg/api/resource/quantity.go`)
//! as far as CPU and memory of one small container need them: decimal numbers with `m`, `k`, `M`, `G`,
//! `Ki`, `Mi`, `Gi`.

use std::fmt;

use serde_json::{Value, json};

use super::ConfigError;

/// Which resource a quantity is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Cores.
    Cpu,
    /// Bytes.
    Memory,
}

impl Resource {
    /// Those that a container has of its own.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Memory];

    /// As the API names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::Cpu => "cores or millicores, as in 0.1 or 100m",
            Self::Memory => "bytes with an optional suffix, as in 32Mi or 33554432",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A positive quantity: its text, and its amount in thousandths for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    thousandths: u64,
}

impl Quantity {
    /// Parses the text of a positive quantity.
    pub fn parse(resource: Resource, text: &str) -> Result<Self, ConfigError> {
        match thousandths(text) {
            Some(amount) if amount > 0 => Ok(Self::constant(text, amount)),
            _ => Err(ConfigError::Quantity { resource, value: text.to_owned() }),
        }
    }

    fn constant(text: &str, thousandths: u64) -> Self {
        Self { text: text.to_owned(), thousandths }
    }

    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In thousandths of a core or of a byte.
    pub const fn amount(&self) -> u64 {
        self.thousandths
    }
}

/// Requests and limits of the injected container. Both are always set: a CPU request keeps autoscalers
/// on utilisation working, limits satisfy quotas that ask for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerResources {
    requests: ResourceList,
    limits: ResourceList,
}

/// CPU and memory, as quantities of the Kubernetes API (`10m`, `16Mi`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceList {
    /// Cores.
    pub cpu: Quantity,
    /// Bytes.
    pub memory: Quantity,
}

impl ResourceList {
    fn to_json(&self) -> Value {
        json!({"cpu": self.cpu.as_str(), "memory": self.memory.as_str()})
    }
}

impl ContainerResources {
    /// Requests that stay within the limits.
    pub fn new(requests: ResourceList, limits: ResourceList) -> Result<Self, ConfigError> {
        let pairs = [
            (Resource::Cpu, &requests.cpu, &limits.cpu),
            (Resource::Memory, &requests.memory, &limits.memory),
        ];
        for (resource, request, limit) in pairs {
            if request.amount() > limit.amount() {
                return Err(ConfigError::RequestAboveLimit {
                    resource,
                    request: request.as_str().to_owned(),
                    limit: limit.as_str().to_owned(),
                });
            }
        }
        Ok(Self { requests, limits })
    }

    /// What is asked for and what may be used of a resource.
    pub const fn of(&self, resource: Resource) -> (&Quantity, &Quantity) {
        match resource {
            Resource::Cpu => (&self.requests.cpu, &self.limits.cpu),
            Resource::Memory => (&self.requests.memory, &self.limits.memory),
        }
    }

    /// As a container's `resources`.
    pub fn to_json(&self) -> Value {
        json!({"requests": self.requests.to_json(), "limits": self.limits.to_json()})
    }
}

impl Default for ContainerResources {
    /// Requests 10m CPU and 16Mi, limits 100m CPU and 32Mi.
    fn default() -> Self {
        Self {
            requests: ResourceList {
                cpu: Quantity::constant("10m", 10),
                memory: Quantity::constant("16Mi", (16 << 20) * 1000),
            },
            limits: ResourceList {
                cpu: Quantity::constant("100m", 100),
                memory: Quantity::constant("32Mi", (32 << 20) * 1000),
            },
        }
    }
}

/// Nothing for text that is no quantity, has more than three decimals or does not fit.
fn thousandths(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let unit: u64 = match suffix {
        "" => 1000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let has_empty_part = whole.is_empty() || (number.contains('.') && decimals.is_empty());
    if has_empty_part || decimals.len() > 3 || decimals.contains('.') {
        return None;
    }
    let scaled: u64 = format!("{whole}{decimals:0<3}").parse().ok()?;
    Some(scaled.checked_mul(unit)? / 1000)
}
