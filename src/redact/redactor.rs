//! `Redactor`: the one exit for text. Whatever leaves for the log, for an error of ours or for the doctor's report goes through
//! [`Redactor::safe`], which cuts out the secrets of this process, in whatever form they come back, and whatever a terminal
//! would obey or hide, and bounds the rest.
//!
//! Secrets are made known to it before they are sent to anybody, so nothing that answers can get them repeated.

use crate::redact::known::{self, CUT, Known};
use crate::signing::{AccessKey, Secret};
use crate::sync::lock;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

/// The longest field that leaves, in bytes, without the mark of what was cut off.
const MAX_FIELD_BYTES: usize = 2048;

/// So much of a text is looked at. What is left of it nearly always fills a field.
const MAX_READ_BYTES: usize = 64 * 1024;

/// Signatures that are still looked for: a server repeats that of the request it answers, and twice as many requests as
/// are in flight by default may be on their way.
const MOST_SIGNATURES: usize = 512;

/// Cookies that are looked for; the oldest are forgotten.
const MAX_COOKIES: usize = 64;

/// A SigV4a signature is at most 72 bytes in DER, in hex.
const MAX_SIGNATURE_BYTES: usize = 144;

/// Parts of a header's value, and cookies, are secrets from this length on; shorter ones may be ordinary words.
const MIN_PART_BYTES: usize = 16;

/// What this process must not tell. Clones share it.
#[derive(Clone, Default)]
pub struct Redactor {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Every request adds one, and few are ever looked for: they wait here until one is.
    signatures: Mutex<VecDeque<Signature>>,
    /// Load balancers replace theirs with every response: they wait here, too.
    cookies: Mutex<Cookies>,
    known: Mutex<Arc<Known>>,
}

/// The values of the cookies that are sent now.
#[derive(Default)]
struct Cookies {
    values: VecDeque<Secret>,
    is_changed: bool,
}

struct Signature {
    length: usize,
    bytes: [u8; MAX_SIGNATURE_BYTES],
}

impl Redactor {
    /// Makes a secret known. One of less than 8 bytes would be found in any text, and is not looked for.
    pub fn add(&self, secret: &str) {
        Arc::make_mut(&mut lock(&self.shared.known)).add(secret);
    }

    /// Makes known what is secret of a key.
    pub fn add_key(&self, key: &AccessKey) {
        for secret in std::iter::once(&key.secret_access_key).chain(&key.session_token) {
            self.add(secret.expose());
        }
    }

    /// Makes known the value of a header, and what in it is the secret proper: the token behind `Bearer`, the password in
    /// `Basic`, the value of a cookie.
    pub fn add_header(&self, value: &str) {
        self.add(value);
        for part in value.split([' ', ';', ',']) {
            let behind_name = part.split_once('=').map_or("", |(_, value)| value);
            for part in [part, behind_name] {
                if part.len() >= MIN_PART_BYTES && part.len() < value.len() {
                    self.add(part);
                }
            }
            if let Some((_, password)) = known::user_and_password(part) {
                self.add(&password);
            }
        }
    }

    /// Makes known the signature of a request. Every request does so: no memory is asked for.
    pub fn add_signature(&self, signature: &str) {
        let text = signature.as_bytes();
        let length = text.len().min(MAX_SIGNATURE_BYTES);
        let mut bytes = [0; MAX_SIGNATURE_BYTES];
        bytes[..length].copy_from_slice(&text[..length]);
        let mut signatures = lock(&self.shared.signatures);
        if signatures.len() == MOST_SIGNATURES {
            signatures.pop_front();
        }
        signatures.push_back(Signature { length, bytes });
    }

    /// Makes known the value of a cookie in place of the one that it replaces.
    pub(crate) fn replace_cookie(&self, old: Option<&Secret>, new: &Secret) {
        if old == Some(new) {
            return;
        }
        let mut cookies = lock(&self.shared.cookies);
        if let Some(at) = cookies.values.iter().position(|value| Some(value) == old) {
            cookies.values.remove(at);
        }
        if cookies.values.len() == MAX_COOKIES {
            cookies.values.pop_front();
        }
        if new.expose().len() >= MIN_PART_BYTES {
            cookies.values.push_back(new.clone());
        }
        cookies.is_changed = true;
    }

    /// A text as it may leave: without secrets, without control characters, at most 2 KiB.
    ///
    /// ```
    /// let redactor = sigv4_proxy::redact::redactor::Redactor::default();
    /// redactor.add("wJalrXUtnFEMI/K7MDENG");
    /// assert_eq!(redactor.safe("key wJalrXUtnFEMI%2FK7MDENG,\n17 left"), "key …,\\n17 left");
    /// ```
    pub fn safe(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        if text.len() > MAX_READ_BYTES {
            let end = (0..=MAX_READ_BYTES).rev().find(|end| text.is_char_boundary(*end));
            text = Cow::Owned(format!("{}{CUT}", &text[..end.unwrap_or_default()]));
        }
        let without_secrets = self.known().without_secrets(&text);
        cleaned(without_secrets.as_deref().unwrap_or(&text))
    }

    /// A JSON document of somebody else without the secrets in it, else byte for byte the same; `None` when there are none.
    pub fn safe_json(&self, json: &str) -> Option<String> {
        self.known().json_without_secrets(json)
    }

    fn known(&self) -> Arc<Known> {
        let mut known = lock(&self.shared.known);
        let signatures = std::mem::take(&mut *lock(&self.shared.signatures));
        if !signatures.is_empty() {
            let texts = signatures.iter().filter_map(Signature::text);
            Arc::make_mut(&mut known).add_signatures(texts, MOST_SIGNATURES);
        }
        let mut cookies = lock(&self.shared.cookies);
        if std::mem::take(&mut cookies.is_changed) {
            let values = cookies.values.iter().map(Secret::expose);
            Arc::make_mut(&mut known).set_cookies(values);
        }
        drop(cookies);
        Arc::clone(&known)
    }
}

/// Without what it knows.
impl fmt::Debug for Redactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Redactor")
    }
}

impl Signature {
    fn text(&self) -> Option<&str> {
        str::from_utf8(&self.bytes[..self.length]).ok()
    }
}

/// One line that a terminal shows as it is, of bounded length.
fn cleaned(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_FIELD_BYTES) + CUT.len_utf8());
    for c in text.chars() {
        let end = clean.len();
        if is_unsafe(c) {
            let _ = write!(clean, "{}", c.escape_default());
        } else {
            clean.push(c);
        }
        if clean.len() > MAX_FIELD_BYTES {
            clean.truncate(end);
            clean.push(CUT);
            break;
        }
    }
    clean
}

/// What moves the cursor, turns the direction of the text, ends a line or cannot be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, marks and overrides of direction, invisible spaces and operators, line and paragraph ends.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            // Letters that only machines read.
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// A small generator, so that a failure can be run again.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 20).unwrap_or_default() % bound
        }

        fn text(&mut self, alphabet: &[u8], length: usize) -> String {
            (0..length).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
        }

        fn secret(&mut self) -> String {
            const ALPHABETS: [&[u8]; 3] = [
                b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=",
                b"0123456789abcdef",
                b"abcXYZ019!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~ ",
            ];
            let length = 12 + self.below(60);
            let alphabet = ALPHABETS[self.below(3)];
            // Blanks at the ends belong to no header's value.
            format!("S{}E", self.text(alphabet, length))
        }

        fn encoded(&mut self, text: &str) -> String {
            let pick = |random: &mut Random| random.below(3) == 0;
            match self.below(8) {
                0 => text.to_owned(),
                1 => {
                    let json = Value::from(text).to_string();
                    json[1..json.len() - 1].to_owned()
                }
                2 => text.chars().fold(String::new(), |mut out, c| {
                    let _ = match (c, pick(self)) {
                        ('/', true) => write!(out, "\\/"),
                        ('"' | '\\', _) => write!(out, "\\{c}"),
                        (c, true) => write!(out, "\\u{:04x}", u32::from(c)),
                        (c, false) => write!(out, "{c}"),
                    };
                    out
                }),
                3 => text.chars().fold(String::new(), |mut out, c| {
                    let _ = if c.is_ascii_alphanumeric() && !pick(self) {
                        write!(out, "{c}")
                    } else if pick(self) {
                        write!(out, "%{:02x}", u32::from(c))
                    } else {
                        write!(out, "%{:02X}", u32::from(c))
                    };
                    out
                }),
                4 => STANDARD.encode(text),
                5 => URL_SAFE_NO_PAD.encode(text),
                6 => {
                    let user = "a".repeat(self.below(4));
                    STANDARD.encode(format!("{user}:{text}{user}"))
                }
                _ => text
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('"', "&quot;")
                    .replace('/', "&#47;")
                    .replace('+', "&#x2B;"),
            }
        }
    }

    fn knowing(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        for secret in secrets {
            redactor.add(secret);
        }
        redactor
    }

    #[test]
    fn random_secrets_in_random_encodings_are_cut_out() {
        let mut random = Random(0x5eed);
        for round in 0..1000 {
            let secret = random.secret();
            let redactor = knowing(&["another secret, 1", &secret, "one/more+secret"]);
            let mut encoded = random.encoded(&secret);
            let is_base64 = !encoded.contains(&secret[..2]);
            if !is_base64 && random.below(2) == 0 {
                encoded = Value::from(encoded).to_string();
            } else if is_base64 {
                encoded = encoded.replace('+', "%2B").replace('/', "\\/");
            }
            let text = format!("before {encoded} after");
            let safe = redactor.safe(&text);
            assert!(
                safe.starts_with("before ") && safe.contains(CUT) && safe.ends_with(" after"),
                "{round}: {secret} in {text}: {safe}"
            );
            assert!(safe.len() < 60, "{round}: {secret} in {text}: {safe}");
        }
    }

    #[test]
    fn every_form_is_found() {
        let redactor = knowing(&[SECRET]);
        let base64 = STANDARD.encode(SECRET);
        for form in [
            SECRET.to_owned(),
            SECRET.replace('/', "\\/"),
            SECRET.replace('/', "\\\\\\/"),
            SECRET.replace('+', "\\u002B").replace('/', "\\\\u002f"),
            SECRET.replace('+', "%2b").replace('/', "%252F"),
            SECRET.replace('+', " "),
            SECRET.replace('/', "\\u00252F"),
            SECRET.replace('/', "&#x2f;").replace('+', "%26#43;"),
            base64.clone(),
            base64.replace('=', "%3D"),
            format!("{}\n{}", &base64[..20], &base64[20..]),
            STANDARD.encode(format!("user:{SECRET}")),
            STANDARD.encode(format!("a={}", SECRET.replace('/', "%2F").replace('+', "%2B"))),
            STANDARD.encode(SECRET.replace('/', "\\/")),
        ] {
            let safe = redactor.safe(&format!("it says ({form})"));
            assert!(safe.contains(CUT) && safe.len() < 32, "{form}: {safe}");
        }
    }

    #[test]
    fn several_blanks_are_as_good_as_one() {
        let redactor = knowing(&["a  b\tc   defgh", "x++y+z++wv", "-- begin --"]);
        let text = "(a  b\\tc   defgh) (a b c defgh) (a+b%20c  defgh) (x++y+z++wv) (-- begin --)";
        assert_eq!(redactor.safe(text), "(…) (…) (…) (…) (…)");
        for secret in ["x++y+z++wv", "a  b\tc   defgh"] {
            assert_eq!(redactor.safe(&STANDARD.encode(secret)), "…");
        }
    }

    #[test]
    fn what_is_no_secret_passes() {
        let redactor = knowing(&[SECRET, "short", "production"]);
        redactor.add_signature(&"0123456789abcdef".repeat(4));
        for text in [
            "",
            "quota-17/used+up bucket=team%2Fsearch cXVvdGEgMTcgdXNlZCB1cA== \\u0041 %zz %4 &amp; a\\",
            "wJalrXUtnFE, a short one, the product, 0123456789a",
            "日本語 é 👩‍👩‍👧 می‌خواهم",
        ] {
            assert_eq!(redactor.safe(text), text);
            assert_eq!(redactor.safe_json(&json!({ "a": [text], "n": 1.50 }).to_string()), None);
        }
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_was_cut_off() {
        let redactor = knowing(&[SECRET]);
        let text = SECRET.replace('/', "%2F").replace('+', "\\u002b");
        for end in 16..text.len() {
            for safe in
                [redactor.safe(&text[..end]), redactor.safe(&format!("{}… (x)", &text[..end]))]
            {
                assert!(!safe.contains("wJalr"), "{end}: {safe}");
            }
        }
        for shift in (0..40).step_by(9) {
            let safe = redactor.safe(&(".".repeat(shift) + &format!("{SECRET} ").repeat(4000)));
            assert!(!safe.contains(&SECRET[..12]) && safe.len() < 2100, "{shift}: {safe}");
        }
    }

    #[test]
    fn json_stays_json_and_the_rest_as_it_was() {
        let redactor = knowing(&[SECRET, "nop\"qrstu\\", "7777777777"]);
        for (json, safe) in [
            (format!(r#"{{"a" :  "x {SECRET}\n","b":1.0}}"#), r#"{"a" :  "x …\n","b":1.0}"#),
            (format!(r#"["\\{}","\n{SECRET}"]"#, SECRET.replace('/', "\\\\\\/")), r#"["…","\n…"]"#),
            (r#"{"\nop\"qrstu":"nop\"qrstu\\"}"#.to_owned(), r#"{"\nop\"qrstu":"…\\"}"#),
            (r#"{"code":7777777777,"x":77777777770}"#.to_owned(), r#"{"code":0,"x":77777777770}"#),
            (format!("[\"{}\"]", STANDARD.encode(SECRET)), "[\"…\"]"),
        ] {
            let found = redactor.safe_json(&json);
            assert_eq!(found.as_deref(), Some(safe), "{json}");
            assert!(serde_json::from_str::<Value>(safe).is_ok(), "{safe}");
        }
        let mut random = Random(77);
        for round in 0..700 {
            let secret = random.secret();
            let encoded = random.encoded(&secret);
            let mut json = json!({ "why": [format!("\n{encoded}\\"), 1] }).to_string();
            if random.below(2) == 0 {
                json = json.replace('/', "\\/");
            }
            let safe = knowing(&[&secret])
                .safe_json(&json)
                .unwrap_or_else(|| panic!("{round}: {secret} in {json}"));
            assert!(serde_json::from_str::<Value>(&safe).is_ok(), "{round}: {safe}");
            assert!(safe.len() < 40, "{round}: {secret} in {json}: {safe}");
        }
    }

    #[test]
    fn signatures_are_looked_for_until_many_others_were_made() {
        let redactor = Redactor::default();
        let signature =
            |number: u64| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4);
        (0..1000).for_each(|number| redactor.add_signature(&signature(number)));
        assert_eq!(redactor.safe(&format!("is {}", signature(999))), "is …");
        assert_eq!(redactor.safe(&STANDARD.encode(signature(900))), "…");
        assert!(redactor.safe(&signature(1)).len() == 64);
    }

    #[test]
    fn the_secret_proper_in_a_header_is_known_alone() {
        let redactor = Redactor::default();
        redactor.add_header("Bearer 0123456789-abcdefgh");
        redactor.add_header("Basic YWxpY2U6b3Blbi1zZXNhbWU=");
        redactor.add_header("theme=dark; session=fedcba9876543210");
        let text = "0123456789-abcdefgh open-sesame fedcba9876543210 Bearer theme alice";
        assert_eq!(redactor.safe(text), "… … … Bearer theme alice");
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        let redactor = Redactor::default();
        let text = "a\u{1b}[31m\r\nb\u{9b}\u{7f}\u{202e}c\u{2066}\u{feff}\u{e0041}é";
        let safe = r"a\u{1b}[31m\r\nb\u{9b}\u{7f}\u{202e}c\u{2066}\u{feff}\u{e0041}é";
        assert_eq!(redactor.safe(text), safe);
        let long = redactor.safe(&"é\u{7f}".repeat(2000));
        assert!(long.len() <= MAX_FIELD_BYTES + 3 && long.ends_with(CUT));
    }

    #[test]
    fn hostile_texts_take_no_time() {
        let redactor = knowing(&[SECRET]);
        let signature = "a".repeat(64);
        redactor.add_signature(&signature);
        for text in
            ["\\", "%", "&", "%25", "\\u005c", "a", "&#", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKE"]
        {
            let started = std::time::Instant::now();
            redactor.safe_json(&format!("[\"{}\"]", text.repeat(20_000 / text.len())));
            assert!(started.elapsed().as_secs() < 3, "{text}: {:?}", started.elapsed());
        }
    }
}
