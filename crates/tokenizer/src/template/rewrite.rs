//! Generation blocks for an engine without tags of its own: `{% generation %}` and
//! `{% endgeneration %}` become a filter block, with every white space mark kept and
//! no line moved. Strings, comments, expressions and raw blocks are left alone.

use super::environment::GENERATION;

/// The rewritten source, and whether it has a generation block.
pub(super) fn rewrite(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len() + 64);
    let mut has_generation = false;
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with("{#") {
            rest.find("#}").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("{{") {
            end_of_tag(rest, "}}")
        } else if rest.starts_with("{%") {
            end_of_tag(rest, "%}")
        } else {
            1
        };
        let (tag, tail) = rest.split_at(length);
        rest = tail;
        let Some(name) = block_name(tag) else {
            out.push_str(tag);
            continue;
        };
        match name {
            "generation" => {
                has_generation = true;
                out.push_str(&tag.replacen(name, &format!("filter {GENERATION}"), 1));
            }
            "endgeneration" => out.push_str(&tag.replacen(name, "endfilter", 1)),
            "raw" => {
                let length = end_of_raw(rest);
                out.push_str(tag);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    (out, has_generation)
}

/// What stands in a block tag, white space marks taken off.
fn block_name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner).trim())
}

/// Length of the tag that `text` begins with; the closing mark inside a string does not count.
fn end_of_tag(text: &str, close: &str) -> usize {
    let bytes = text.as_bytes();
    let mut quote: Option<u8> = None;
    let mut at = 2;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, _) if bytes[at..].starts_with(close.as_bytes()) => return at + close.len(),
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Length up to the tag that ends a raw block.
fn end_of_raw(text: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text[at..].find("{%") {
        at += found;
        let length = end_of_tag(&text[at..], "%}");
        if block_name(&text[at..at + length]) == Some("endraw") {
            return at;
        }
        at += 2;
    }
    text.len()
}
