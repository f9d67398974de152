//! The classes of characters that the patterns tell apart, from the same tables that
//! the regular expression engine uses.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::OnceLock;

use regex_syntax::hir::{Class, HirKind};

/// What a character is to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Other,
    Letter,
    Number,
    Space,
}

/// The kind of every character.
pub(super) struct Classes {
    kinds: Vec<Kind>,
}

impl Classes {
    /// The tables, made at the first use.
    pub(super) fn get() -> &'static Self {
        static CLASSES: OnceLock<Classes> = OnceLock::new();
        CLASSES.get_or_init(|| {
            let mut kinds = vec![Kind::Other; char::MAX as usize + 1];
            for (pattern, kind) in [(r"\p{L}", Kind::Letter), (r"\p{N}", Kind::Number), (r"\s", Kind::Space)] {
                let hir = regex_syntax::parse(pattern).expect("a class of Unicode is a valid pattern");
                let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
                    unreachable!("a class of Unicode parses to a class");
                };
                for range in class.ranges() {
                    kinds[range.start() as usize..=range.end() as usize].fill(kind);
                }
            }
            Self { kinds }
        })
    }

    pub(super) fn kind(&self, symbol: char) -> Kind {
        self.kinds[symbol as usize]
    }
}

/// True for characters that composition (NFC) leaves alone whatever stands beside
/// them; false where that is not certain.
///
/// # Source
/// Unicode `NFC_Quick_Check=Yes` and combining class 0, the common ranges only.
pub(super) fn is_composed(symbol: char) -> bool {
    matches!(symbol as u32,
        0x0000..=0x02FF | 0x038E..=0x03CE | 0x0400..=0x0482 | 0x048A..=0x052F
        | 0x200B..=0x200D | 0x2010..=0x2027 | 0x2030..=0x205E | 0x20A0..=0x20BF
        | 0x2190..=0x21FF | 0x2460..=0x27BF | 0x3001..=0x3029 | 0x3041..=0x3096
        | 0x30A1..=0x30FA | 0x4E00..=0x9FFF | 0xAC00..=0xD7A3 | 0xFE0F
        | 0xFF01..=0xFF60 | 0x1F300..=0x1FAFF)
}

/// Whether a character belongs to a word, as `\w` says.
pub(super) fn is_word(symbol: char) -> bool {
    static WORD: OnceLock<Class> = OnceLock::new();
    let class = WORD.get_or_init(|| match regex_syntax::parse(r"\w").expect("a class is a valid pattern").into_kind() {
        HirKind::Class(class) => class,
        _ => unreachable!("a class of Unicode parses to a class"),
    });
    let Class::Unicode(class) = class else {
        return false;
    };
    class
        .ranges()
        .binary_search_by(|range| {
            if range.end() < symbol {
                Less
            } else if range.start() > symbol {
                Greater
            } else {
                Equal
            }
        })
        .is_ok()
}
