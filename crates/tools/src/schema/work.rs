//! How much work a schema makes of arguments. Small ones can ask for endless work (each definition referring twice to
//! the next); this counts it without doing it, each pair of schema and value once, and never judges a value.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most steps that may be taken to judge arguments.
const STEPS_MAX: u64 = 100_000;
/// Most pairs of schema and value that are looked at to count them.
const PAIRS_MAX: usize = 50_000;
/// Deepest nesting of schemas and values together, references included.
const DEPTH_MAX: usize = 256;
/// Most patterns of a schema.
const PATTERNS_MAX: usize = 64;

/// Keywords whose schemas judge the same value.
const SAME_ONE: [&str; 4] = ["not", "if", "then", "else"];
const SAME_SEVERAL: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords whose schema judges each member of an object.
const EACH_MEMBER: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];
/// Keywords whose schema judges each item of an array.
const EACH_ITEM: [&str; 4] = ["items", "additionalItems", "contains", "unevaluatedItems"];
/// Keywords that look at everything beside them once more.
const AGAIN: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];
/// Keywords that lead elsewhere in ways that are not counted here.
const REFUSED: [&str; 4] = ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor"];

/// Whether a schema is one that can be counted: references only within it and by their path.
pub fn fit(schema: &Value) -> Result<(), String> {
    let mut patterns = 0;
    let mut open = vec![(schema, true)];
    while let Some((value, is_top)) = open.pop() {
        match value {
            Value::Object(members) => {
                fit_members(members, is_top, schema)?;
                patterns += usize::from(members.contains_key("pattern"));
                patterns += members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
                open.extend(members.values().map(|value| (value, false)));
            }
            Value::Array(items) => open.extend(items.iter().map(|value| (value, false))),
            Value::String(text) if text.contains('\0') => return Err("the tool's schema has a NUL".into()),
            _ => {}
        }
    }
    if patterns > PATTERNS_MAX {
        return Err(format!("the tool's schema has more than {PATTERNS_MAX} patterns"));
    }
    Ok(())
}

fn fit_members(members: &Map<String, Value>, is_top: bool, schema: &Value) -> Result<(), String> {
    if members.keys().any(|name| name.contains('\0')) {
        return Err("the tool's schema has a NUL".into());
    }
    for refused in REFUSED {
        // A property may be named like it: then it is a schema, and no text or flag.
        if members.get(refused).is_some_and(|value| value.is_string() || value.is_boolean()) {
            return Err(format!("the tool's schema uses {refused}, which is not supported"));
        }
    }
    if !is_top && members.get("$id").is_some_and(Value::is_string) {
        return Err("the tool's schema has an $id within, which is not supported".into());
    }
    match members.get("$ref").and_then(Value::as_str) {
        Some(reference) if target(schema, reference).is_none() => {
            Err("the tool's schema refers to something that is not in it".into())
        }
        _ => Ok(()),
    }
}

fn target<'s>(schema: &'s Value, reference: &str) -> Option<&'s Value> {
    let path = reference.strip_prefix('#')?;
    // Pointers in URLs may be percent-encoded; nobody writes such names, so they need not be understood.
    if path.contains('%') { None } else { schema.pointer(path) }
}

/// Whether judging these arguments takes no more than [`STEPS_MAX`] steps.
pub fn bounded(schema: &Value, arguments: &Value) -> Result<(), String> {
    let mut count = Count { schema, known: HashMap::new() };
    match count.steps(schema, arguments, 0) {
        Some(steps) if steps <= STEPS_MAX => Ok(()),
        _ => Err("judging these arguments by the tool's schema would take too long".into()),
    }
}

struct Count<'s> {
    schema: &'s Value,
    /// Steps of a pair; none: it is being counted, so that it leads to itself.
    known: HashMap<(*const Value, *const Value), Option<u64>>,
}

static NOTHING: Value = Value::Null;

impl<'s> Count<'s> {
    /// Steps to judge a value by a schema; none: too many to count.
    fn steps(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Option<u64> {
        let Value::Object(members) = schema else { return Some(1) };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&pair) {
            return *known;
        }
        if depth >= DEPTH_MAX || self.known.len() >= PAIRS_MAX {
            return None;
        }
        self.known.insert(pair, None);
        let depth = depth + 1;
        let mut steps = u64::try_from(members.len()).ok()?.saturating_add(1);
        steps = steps.saturating_add(self.in_place(members, value, depth)?);
        steps = steps.saturating_add(match value {
            Value::Object(object) => self.in_object(members, object, depth)?,
            Value::Array(items) => self.in_array(members, items, depth)?,
            _ => 0,
        });
        if AGAIN.iter().any(|again| members.contains_key(*again)) {
            steps = steps.saturating_mul(2);
        }
        self.known.insert(pair, Some(steps));
        Some(steps)
    }

    fn in_place(&mut self, members: &'s Map<String, Value>, value: &Value, depth: usize) -> Option<u64> {
        let refer = members.get("$ref").and_then(Value::as_str);
        let refer = refer.map(|reference| target(self.schema, reference));
        let one = SAME_ONE.iter().filter_map(|name| members.get(*name));
        let several = SAME_SEVERAL.iter().filter_map(|name| members.get(*name)?.as_array()).flatten();
        let named = SAME_NAMED.iter().filter_map(|name| members.get(*name)?.as_object());
        let named = named.flat_map(Map::values);
        let all: Vec<_> = refer.into_iter().flatten().chain(one).chain(several).chain(named).collect();
        self.sum(all.into_iter().map(|schema| (schema, value)), depth)
    }

    fn in_object(
        &mut self,
        members: &'s Map<String, Value>,
        object: &Map<String, Value>,
        depth: usize,
    ) -> Option<u64> {
        let own = members.get("properties").and_then(Value::as_object).into_iter().flatten();
        let own = own.filter_map(|(name, schema)| Some((schema, object.get(name)?)));
        let patterns = members.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let each = patterns.map(|(_, schema)| schema);
        let each = each.chain(EACH_MEMBER.iter().filter_map(|name| members.get(*name)));
        let each = each.flat_map(|schema| object.values().map(move |value| (schema, value)));
        let names = members.get("propertyNames").into_iter();
        let names = names.flat_map(|schema| object.iter().map(move |_| (schema, &NOTHING)));
        self.sum(own.chain(each).chain(names), depth)
    }

    fn in_array(&mut self, members: &'s Map<String, Value>, items: &[Value], depth: usize) -> Option<u64> {
        // `items` was a list of schemas before it became `prefixItems`.
        let lists = ["prefixItems", "items"].into_iter().filter_map(|name| members.get(name)?.as_array());
        let lists = lists.flat_map(|schemas| schemas.iter().zip(items));
        let each = EACH_ITEM.iter().filter_map(|name| members.get(*name)).filter(|schema| !schema.is_array());
        let each = each.flat_map(|schema| items.iter().map(move |value| (schema, value)));
        self.sum(lists.chain(each), depth)
    }

    fn sum<'v>(&mut self, pairs: impl Iterator<Item = (&'s Value, &'v Value)>, depth: usize) -> Option<u64> {
        let mut sum: u64 = 0;
        for (schema, value) in pairs {
            sum = sum.saturating_add(self.steps(schema, value, depth)?);
            if sum > STEPS_MAX {
                return None;
            }
        }
        Some(sum)
    }
}
