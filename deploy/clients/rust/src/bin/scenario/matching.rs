//! The scenario's expectations, and what in it stands for something else; `deploy/clients/README.md` describes both.

use serde_json::{Map, Value, json};

const RELATIVE_TOLERANCE: f64 = 1e-6;
const SHOWN_LENGTH: usize = 200;

/// Why a step did not pass.
pub enum Failure {
    /// What was expected is not what came.
    Mismatch(String),
    /// The scenario itself makes no sense.
    Scenario(String),
}

type Matched = Result<(), Failure>;

fn require(holds: bool, expected: &Value, actual: &Value, at: &str) -> Matched {
    let shorten = |value: &Value| value.to_string().chars().take(SHOWN_LENGTH).collect::<String>();
    if holds {
        return Ok(());
    }
    Err(Failure::Mismatch(format!("{at}: expected {}, got {}", shorten(expected), shorten(actual))))
}

/// Fails unless @actual has everything that @expected names; what JSON leaves out (here: null) has its default.
pub fn matches(expected: &Value, actual: &Value, at: &str) -> Matched {
    match expected {
        Value::Object(members) => match members.keys().find(|key| key.starts_with('$')) {
            Some(operator) => matches_operator(operator, expected, actual, at),
            None => {
                require(actual.is_object() || actual.is_null(), expected, actual, at)?;
                members.iter().try_for_each(|(key, value)| {
                    matches(value, actual.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"))
                })
            }
        },
        Value::Array(wanted) => {
            let rows = rows(expected, actual, at)?;
            require(rows.len() == wanted.len(), expected, actual, at)?;
            let mut pairs = wanted.iter().zip(rows).enumerate();
            pairs.try_for_each(|(i, (one, row))| matches(one, row, &format!("{at}[{i}]")))
        }
        Value::Number(_) => {
            let (wanted, got) = (number(expected), number(actual));
            let near = (got - wanted).abs() <= RELATIVE_TOLERANCE * wanted.abs().max(1.0);
            require(near, expected, actual, at)
        }
        Value::String(text) => require(actual.as_str().or(absent(actual, "")) == Some(text), expected, actual, at),
        Value::Bool(is) => require(actual.as_bool().or(absent(actual, false)) == Some(*is), expected, actual, at),
        Value::Null => require(actual.is_null(), expected, actual, at),
    }
}

fn matches_operator(operator: &str, expected: &Value, actual: &Value, at: &str) -> Matched {
    let operand = &expected[operator];
    let holds = match operator {
        "$near" => (number(actual) - number(operand)).abs() <= number(&expected["$within"]),
        "$above" => number(actual) > number(operand),
        "$contains" => operand.as_str().is_some_and(|part| actual.as_str().is_some_and(|text| text.contains(part))),
        "$unordered" => matches_in_any_order(rows(expected, operand, at)?, rows(expected, actual, at)?)?,
        _ => return Err(Failure::Scenario(format!("unknown operator {operator}"))),
    };
    require(holds, expected, actual, at)
}

fn matches_in_any_order(expected: &[Value], actual: &[Value]) -> Result<bool, Failure> {
    let mut rest: Vec<&Value> = actual.iter().collect();
    for wanted in expected {
        let mut found = None;
        for (i, row) in rest.iter().enumerate() {
            match matches(wanted, row, "") {
                Ok(()) => found = found.or(Some(i)),
                Err(Failure::Mismatch(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        match found {
            Some(i) => rest.swap_remove(i),
            None => return Ok(false),
        };
    }
    Ok(rest.is_empty())
}

fn absent<T>(actual: &Value, default: T) -> Option<T> {
    actual.is_null().then_some(default)
}

fn rows<'a>(expected: &Value, actual: &'a Value, at: &str) -> Result<&'a [Value], Failure> {
    require(actual.is_array() || actual.is_null(), expected, actual, at)?;
    Ok(actual.as_array().map_or(&[], Vec::as_slice))
}

/// A number, also one of 64 bits, which JSON has as text; what is absent is 0, anything else is NaN.
pub fn number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(digits) => digits.parse::<i64>().map_or(f64::NAN, |number| number as f64),
        _ => f64::NAN,
    }
}

/// @value with what `$saved`, `$repeat` and `$times` stand for.
pub fn expand(value: &Value, saved: &Map<String, Value>) -> Result<Value, Failure> {
    let object = match value {
        Value::Array(list) => return list.iter().map(|one| expand(one, saved)).collect(),
        Value::Object(object) => object,
        _ => return Ok(value.clone()),
    };
    if let Some(name) = object.get("$saved").and_then(Value::as_str) {
        let missing = || Failure::Mismatch(format!("nothing was saved as '{name}'"));
        return saved.get(name).cloned().ok_or_else(missing);
    }
    if let Some(arguments) = object.get("$repeat") {
        let text = arguments[0].as_str().unwrap_or_default();
        return Ok(json!(text.repeat(number(&arguments[1]) as usize)));
    }
    if let Some(arguments) = object.get("$times") {
        return Ok(json!(vec![expand(&arguments[0], saved)?; number(&arguments[1]) as usize]));
    }
    object.iter().map(|(key, one)| Ok((key.clone(), expand(one, saved)?))).collect()
}

/// What lies at a path such as "hits.0.score".
pub fn look_up<'a>(value: &'a Value, path: &str) -> Result<&'a Value, Failure> {
    let missing = || Failure::Mismatch(format!("there is no '{path}'"));
    value.pointer(&format!("/{}", path.replace('.', "/"))).ok_or_else(missing)
}
