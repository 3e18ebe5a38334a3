//! Host names outside ASCII in the form that DNS and signatures use (RFC 3492, RFC 5890).
//!
//! Lower-cases and encodes, without the mapping tables of full IDNA: a full-width dot makes a name that does not resolve,
//! never another host.

/// `bücher.example` → `xn--bcher-kva.example`. `None` when a label is too long to be encoded.
pub(crate) fn ascii_host(host: &str) -> Option<String> {
    let labels: Option<Vec<String>> = host
        .to_lowercase()
        .split('.')
        .map(|label| {
            if label.is_ascii() {
                Some(label.to_owned())
            } else {
                Some(format!("xn--{}", encode(label)?))
            }
        })
        .collect();
    Some(labels?.join("."))
}

// The parameters of RFC 3492 §5.
const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;

/// Encodes a label (RFC 3492 §6.3).
fn encode(label: &str) -> Option<String> {
    // DNS has 63 bytes for a label, so a longer one is refused before the arithmetic can overflow.
    let input: Vec<u32> = label.chars().map(u32::from).collect();
    if input.len() > 59 {
        return None;
    }
    let mut output: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(output.len()).ok()?;
    if basic > 0 {
        output.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (INITIAL_N, 0_u32, INITIAL_BIAS, basic);
    while (handled as usize) < input.len() {
        let next = *input.iter().filter(|c| **c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for &c in &input {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c == n {
                push_variable_length(&mut output, delta, bias);
                bias = adapted(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(output)
}

fn push_variable_length(output: &mut String, delta: u32, bias: u32) {
    let mut rest = delta;
    let mut k = BASE;
    loop {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            break;
        }
        output.push(digit(threshold + (rest - threshold) % (BASE - threshold)));
        rest = (rest - threshold) / (BASE - threshold);
        k += BASE;
    }
    output.push(digit(rest));
}

/// Adapts the bias (RFC 3492 §6.1).
fn adapted(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > ((BASE - T_MIN) * T_MAX) / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

/// `a`…`z` for 0…25, `0`…`9` for 26…35.
fn digit(value: u32) -> char {
    char::from_digit((value + 10) % BASE, BASE).expect("a remainder of 36 is a digit of base 36")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (typed, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.Example", "xn--bcher-kva.example"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("правда.рф", "xn--80aafi6cg.xn--p1ai"),
            ("plain.example", "plain.example"),
        ] {
            assert_eq!(ascii_host(typed).as_deref(), Some(ascii), "{typed}");
        }
        assert_eq!(ascii_host(&"ü".repeat(80)), None);
    }
}
