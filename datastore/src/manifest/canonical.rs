//! JSON in the one form that is signed: no white space, keys in byte order at every level, numbers
//! as they are, and no `null` anywhere.

use serde_json::Value;

use crate::error::{Error, Result};

/// The canonical text of a value; a `null` in it is an error.
pub fn canonical_json(value: &Value) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, text: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => {
            return Err(Error::damaged("manifest", "null has no place in signed JSON"));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => write_plain(value, text)?,
        Value::Array(items) => {
            text.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(b',');
                }
                write(item, text)?;
            }
            text.push(b']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
            text.push(b'{');
            for (position, (key, member)) in members.into_iter().enumerate() {
                if position > 0 {
                    text.push(b',');
                }
                write_plain(&Value::String(key.clone()), text)?;
                text.push(b':');
                write(member, text)?;
            }
            text.push(b'}');
        }
    }
    Ok(())
}

fn write_plain(value: &Value, text: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(text, value).map_err(|e| Error::damaged("manifest", e.to_string()))
}
