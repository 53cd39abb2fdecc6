//! From a text to a value, without the parts that nothing here reads: of a pod as a server gives it, most of the text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Fields that no kind has anything in that is read. Labels may have such names, and are kept.
const UNREAD: [&str; 30] = [
    "affinity",
    "annotations",
    "args",
    "binaryData",
    "caBundle",
    "command",
    "containerStatuses",
    "data",
    "env",
    "envFrom",
    "image",
    "imagePullSecrets",
    "images",
    "initContainerStatuses",
    "lifecycle",
    "livenessProbe",
    "managedFields",
    "nodeInfo",
    "nodeSelector",
    "openAPIV3Schema",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "stringData",
    "tolerations",
    "topologySpreadConstraints",
    "volumeClaimTemplates",
    "volumeMounts",
    "volumes",
];

/// Fields within which keys may be people's own: labels, or what is taken for them.
const LABELS: [&str; 7] =
    ["egress", "ingress", "labels", "namespaceSelector", "podSelector", "selector", "subject"];

/// Reads a value of at most this many levels.
#[derive(Clone, Copy)]
pub(crate) struct Pruned {
    levels: usize,
    of_labels: bool,
}

impl Pruned {
    /// Reads a value of at most this many levels.
    pub(crate) fn new(levels: usize) -> Self {
        Self { levels, of_labels: false }
    }

    fn below<E: Error>(self) -> Result<Self, E> {
        let levels = self.levels.checked_sub(1);
        let levels = levels.ok_or_else(|| E::custom("nested too deeply; no object of Kubernetes is"))?;
        Ok(Self { levels, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Pruned {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pruned {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !self.of_labels && UNREAD.binary_search(&key.as_str()).is_ok() {
                entries.next_value::<IgnoredAny>()?;
                // That the field is there may be wrong.
                values.insert(key, Value::Null);
                continue;
            }
            let of_labels = self.of_labels || LABELS.contains(&key.as_str());
            let value = entries.next_value_seed(Self { of_labels, ..below })?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_that_it_is_searched_in() {
        assert!(UNREAD.is_sorted(), "a binary search needs it");
    }

    #[test]
    fn labels_are_kept_whatever_their_names() {
        let text = r#"{"metadata":{"annotations":{"a":"b"},"labels":{"image":"x","data":"y"}},"spec":{"volumes":[{}]}}"#;
        let value = Pruned::new(64).deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "metadata": {"annotations": null, "labels": {"image": "x", "data": "y"}},
                "spec": {"volumes": null},
            })
        );
    }
}
