//! Where a piece of work stands in its trace: W3C's `traceparent`, and the header in which AWS tells the same. Nothing
//! is authorised by a trace, and one that cannot be read is none.

use std::fmt;

use konstruct_domain::TraceId;

/// Longest header that is looked at, bytes: root, parent and lineage are some 150.
const HEADER_BYTES_MAX: usize = 512;

/// A place in a trace, of W3C's version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub id: TraceId,
    /// Who caused the work, within the trace; not 0.
    parent: u64,
    /// Whether it is recorded.
    sampled: bool,
}

impl TraceParent {
    /// The trace of something that is continued by its id alone: who began it is not known any more, so the id's
    /// second half stands for that.
    #[must_use]
    pub fn of(id: TraceId) -> Self {
        Self { id, parent: id.uuid().as_u64_pair().1.max(1), sampled: false }
    }

    /// The same place in another trace.
    #[must_use]
    pub const fn in_trace(self, id: TraceId) -> Self {
        Self { id, ..self }
    }

    /// Parses `00-{trace}-{parent}-{flags}`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let flags = hex(flags, 2)?;
        Self::new(TraceId::parse(id)?, hex(parent, 16)?, flags & 1 == 1)
    }

    /// From AWS's `Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled={0|1}`, which may have more members and lack all but
    /// the first.
    #[must_use]
    pub fn from_header(header: &str) -> Option<Self> {
        if header.len() > HEADER_BYTES_MAX {
            return None;
        }
        let member = |name: &str| {
            let mut members = header.split(';').filter_map(|member| member.trim().split_once('='));
            members.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let (time, rest) = member("Root")?.strip_prefix("1-")?.split_once('-')?;
        if (time.len(), rest.len()) != (8, 24) {
            return None;
        }
        let id = TraceId::parse(&format!("{time}{rest}"))?;
        let parent = member("Parent").and_then(|parent| hex(parent, 16));
        let sampled = member("Sampled") == Some("1");
        parent.and_then(|parent| Self::new(id, parent, sampled)).or(Some(Self { sampled, ..Self::of(id) }))
    }

    fn new(id: TraceId, parent: u64, sampled: bool) -> Option<Self> {
        (parent != 0).then_some(Self { id, parent, sampled })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{:016x}-{:02x}", self.id, self.parent, u8::from(self.sampled))
    }
}

fn hex(text: &str, digits: usize) -> Option<u64> {
    let lower = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "65d2ff2e718990494fd688f062bf1571";

    /// proves OPS-04
    #[test]
    fn logs_and_x_ray_call_a_trace_by_the_same_digits() {
        let header =
            "Root=1-65d2ff2e-718990494fd688f062bf1571;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a:0";
        let parsed = TraceParent::from_header(header).expect("a header");
        assert_eq!(parsed.id.to_string(), TRACE);
        assert_eq!(parsed.to_string(), format!("00-{TRACE}-53995c3f42cd8ad8-01"));
        let bare = TraceParent::from_header("Root=1-65d2ff2e-718990494fd688f062bf1571").expect("a header");
        assert_eq!(bare.to_string(), format!("00-{TRACE}-4fd688f062bf1571-00"));
    }

    #[test]
    fn what_is_no_header_or_traceparent_is_none() {
        for bad in [
            "",
            "Root=",
            "Root=1-65d2ff2e",
            "Root=2-65d2ff2e-718990494fd688f062bf1571",
            "Root=1-65d2ff2e7-18990494fd688f062bf1571",
            "Root=1-00000000-000000000000000000000000",
            "Self=1-65d2ff2e-718990494fd688f062bf1571",
        ] {
            assert_eq!(TraceParent::from_header(bad), None, "{bad}");
        }
        assert_eq!(
            TraceParent::from_header(&format!(
                "Root=1-65d2ff2e-718990494fd688f062bf1571;{}",
                "x".repeat(HEADER_BYTES_MAX)
            )),
            None
        );
        for bad in [
            String::new(),
            format!("01-{TRACE}-53995c3f42cd8ad8-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-53995C3F42CD8AD8-01"),
            format!("00-{TRACE}-53995c3f42cd8ad8-1"),
            format!("00-{TRACE}-53995c3f42cd8ad8-01-x"),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_breaks_the_parsers(text in ".{0,80}") {
            let _ = (TraceParent::parse(&text), TraceParent::from_header(&text));
        }

        #[test]
        fn a_place_survives_being_written(id in 1_u128.., parent in 1_u64.., sampled: bool) {
            let id = TraceId::new(uuid::Uuid::from_u128(id)).expect("not nil");
            let place = TraceParent { id, parent, sampled };
            prop_assert_eq!(TraceParent::parse(&place.to_string()), Some(place));
        }
    }
}
