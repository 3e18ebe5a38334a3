//! `Unit`: one character of a text after decoding, whichever encodings it is written in.

/// Maximum number of nested encodings, such as percent-encoding in XML in JSON. JSON in JSON counts once.
const MAX_DEPTH: u8 = 3;

/// Maximum number of backslashes before an escaped character: JSON in JSON doubles them with each level.
const MAX_BACKSLASHES: usize = 15;

/// Maximum length of an XML or HTML entity, `&` and `;` not counted.
const MAX_ENTITY_BYTES: usize = 8;

/// A literal byte, or the UTF-8 bytes of an escaped character.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    bytes: [u8; 4],
    length: usize,
    /// Index in the text of the first byte after it.
    pub(crate) end: usize,
    /// It does not start an escape in an outer encoding.
    is_final: bool,
}

impl Unit {
    /// The unit at index `at`. `/` may be written as `\/`, `\u002f`, `%2F`, `%252f`, `&#47;` or a mixture of these.
    pub(crate) fn at(text: &[u8], at: usize) -> Option<Unit> {
        Unit::at_depth(text, at, MAX_DEPTH)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn at_depth(text: &[u8], at: usize, depth: u8) -> Option<Unit> {
        let byte = *text.get(at)?;
        let plain = Unit::of_byte(byte, at + 1);
        if depth == 0 || !matches!(byte, b'\\' | b'%' | b'&') {
            return Some(plain);
        }
        let inner = Unit::at_depth(text, at, depth - 1)?;
        if inner.is_final {
            return Some(inner);
        }
        let next = |at| Unit::at_depth(text, at, depth - 1);
        let decoded = match inner.bytes() {
            // A run beyond the maximum is scanned once, not again at every depth.
            b"\\" => backslash(inner.end, next).or(Some(Unit { is_final: true, ..inner })),
            b"%" => percent(inner.end, next),
            b"&" => entity(inner.end, next),
            _ => None,
        };
        Some(decoded.unwrap_or(inner))
    }

    fn of_byte(byte: u8, end: usize) -> Unit {
        Unit { bytes: [byte, 0, 0, 0], length: 1, end, is_final: false }
    }

    fn of(character: Option<char>, end: usize) -> Unit {
        let mut bytes = [0; 4];
        let length = character.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut bytes).len();
        Unit { bytes, length, end, is_final: false }
    }

    fn hex_digit(&self) -> Option<u32> {
        let [digit] = self.bytes() else { return None };
        char::from(*digit).to_digit(16)
    }
}

/// Decodes what follows a backslash: more backslashes, then the escaped character.
fn backslash(at: usize, next: impl Fn(usize) -> Option<Unit>) -> Option<Unit> {
    let mut escaped = next(at)?;
    for _ in 0..MAX_BACKSLASHES {
        if escaped.bytes() != b"\\" {
            break;
        }
        escaped = next(escaped.end)?;
    }
    let control = match escaped.bytes() {
        b"u" => {
            let mut code = 0;
            let mut end = escaped.end;
            for _ in 0..4 {
                let Some((unit, digit)) =
                    next(end).and_then(|unit| Some((unit, unit.hex_digit()?)))
                else {
                    return Some(escaped);
                };
                code = code * 16 + digit;
                end = unit.end;
            }
            return Some(Unit::of(char::from_u32(code), end));
        }
        b"n" => '\n',
        b"r" => '\r',
        b"t" => '\t',
        b"b" => '\u{8}',
        b"f" => '\u{c}',
        b"\\" => return None,
        _ => return Some(escaped),
    };
    Some(Unit::of(Some(control), escaped.end))
}

/// Decodes the two digits after `%`.
fn percent(at: usize, next: impl Fn(usize) -> Option<Unit>) -> Option<Unit> {
    let high = next(at)?;
    let low = next(high.end)?;
    let byte = high.hex_digit()? * 16 + low.hex_digit()?;
    Some(Unit::of_byte(u8::try_from(byte).ok()?, low.end))
}

/// Decodes the name or number after `&`, up to `;`.
fn entity(at: usize, next: impl Fn(usize) -> Option<Unit>) -> Option<Unit> {
    let mut name = [0; MAX_ENTITY_BYTES];
    let mut length = 0;
    let mut end = at;
    loop {
        let unit = next(end)?;
        end = unit.end;
        match unit.bytes() {
            b";" => break,
            [byte] if byte.is_ascii_alphanumeric() || *byte == b'#' => {
                *name.get_mut(length)? = *byte;
                length += 1;
            }
            _ => return None,
        }
    }
    let character = match str::from_utf8(&name[..length]).ok()? {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        // Of the characters of keys and tokens, these have names in HTML.
        "sol" => '/',
        "plus" => '+',
        "equals" => '=',
        name => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some(Unit::of(Some(character), end))
}
