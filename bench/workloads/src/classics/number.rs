//! Natural numbers of any length for [`super::cfrac`], each result a new small block: that is their purpose here.
//!
//! Limbs of 32 bits, the least first, without leading zeroes.

use std::cmp::Ordering;

/// A natural number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Vec<u32>);

impl Number {
    /// `value` as limbs.
    pub fn new(value: u64) -> Number {
        Number::trimmed(vec![value as u32, (value >> 32) as u32])
    }

    /// The value, where 64 bits hold it.
    pub fn to_u64(&self) -> Option<u64> {
        match self.0[..] {
            [] => Some(0),
            [low] => Some(u64::from(low)),
            [low, high] => Some(u64::from(low) | u64::from(high) << 32),
            _ => None,
        }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is 1.
    pub fn is_one(&self) -> bool {
        self.0 == [1]
    }

    /// The sum.
    pub fn add(&self, other: &Number) -> Number {
        let (long, short) = if self.0.len() >= other.0.len() { (self, other) } else { (other, self) };
        let mut limbs = Vec::with_capacity(long.0.len() + 1);
        let mut carry = 0;
        for (at, &limb) in long.0.iter().enumerate() {
            let sum = u64::from(limb) + u64::from(short.0.get(at).copied().unwrap_or(0)) + carry;
            limbs.push(sum as u32);
            carry = sum >> 32;
        }
        limbs.push(carry as u32);
        Number::trimmed(limbs)
    }

    /// The difference; `other` is not larger.
    pub fn sub(&self, other: &Number) -> Number {
        debug_assert!(*self >= *other);
        let mut limbs = Vec::with_capacity(self.0.len());
        let mut borrow = false;
        for (at, &limb) in self.0.iter().enumerate() {
            let (less, first) = limb.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            limbs.push(less);
            borrow = first || second;
        }
        Number::trimmed(limbs)
    }

    /// The product.
    pub fn mul(&self, other: &Number) -> Number {
        let mut limbs = vec![0_u32; self.0.len() + other.0.len()];
        for (at, &a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (to, &b) in other.0.iter().enumerate() {
                let sum = u64::from(a) * u64::from(b) + u64::from(limbs[at + to]) + carry;
                limbs[at + to] = sum as u32;
                carry = sum >> 32;
            }
            limbs[at + other.0.len()] = carry as u32;
        }
        Number::trimmed(limbs)
    }

    /// Quotient and remainder by a divisor of one limb, which is not zero.
    pub fn div_small(&self, divisor: u32) -> (Number, u32) {
        let mut limbs = vec![0; self.0.len()];
        let mut rest = 0_u64;
        for (at, &limb) in self.0.iter().enumerate().rev() {
            let value = rest << 32 | u64::from(limb);
            limbs[at] = (value / u64::from(divisor)) as u32;
            rest = value % u64::from(divisor);
        }
        (Number::trimmed(limbs), rest as u32)
    }

    /// Quotient and remainder; the divisor is not zero. Long division as in Knuth's Algorithm D.
    pub fn div(&self, divisor: &Number) -> (Number, Number) {
        if *self < *divisor {
            return (Number(Vec::new()), self.clone());
        }
        if let [small] = divisor.0[..] {
            let (quotient, rest) = self.div_small(small);
            return (quotient, Number::new(u64::from(rest)));
        }
        let length = divisor.0.len();
        let shift = divisor.0[length - 1].leading_zeros();
        // Both shifted so that the divisor's highest bit is set: a guess at a limb is then at most 2 too high.
        let divisor = divisor.shifted(shift, length);
        let mut rest = self.shifted(shift, self.0.len() + 1);
        let mut quotient = vec![0; self.0.len() - length + 1];
        let highest = u64::from(divisor[length - 1]);
        for at in (0..quotient.len()).rev() {
            let head = u64::from(rest[at + length]) << 32 | u64::from(rest[at + length - 1]);
            let mut guess = head / highest;
            let mut over = head % highest;
            while guess >> 32 != 0
                || guess * u64::from(divisor[length - 2]) > (over << 32 | u64::from(rest[at + length - 2]))
            {
                guess -= 1;
                over += highest;
                if over >> 32 != 0 {
                    break;
                }
            }
            if take(&mut rest[at..=at + length], &divisor, guess) {
                give_back(&mut rest[at..=at + length], &divisor);
                guess -= 1;
            }
            quotient[at] = guess as u32;
        }
        let mut low = 0;
        for limb in rest[..length].iter_mut().rev() {
            let value = *limb;
            *limb = if shift == 0 { value } else { value >> shift | low };
            low = if shift == 0 { 0 } else { value << (32 - shift) };
        }
        rest.truncate(length);
        (Number::trimmed(quotient), Number::trimmed(rest))
    }

    /// The remainder; the divisor is not zero.
    pub fn rem(&self, divisor: &Number) -> Number {
        self.div(divisor).1
    }

    /// The greatest common divisor.
    pub fn gcd(&self, other: &Number) -> Number {
        let (mut a, mut b) = (self.clone(), other.clone());
        while !b.is_zero() {
            let rest = a.rem(&b);
            a = b;
            b = rest;
        }
        a
    }

    /// The largest number whose square is not larger (Newton's iteration from above).
    pub fn sqrt(&self) -> Number {
        if self.is_zero() {
            return self.clone();
        }
        let bits = self.0.len() * 32 - self.0[self.0.len() - 1].leading_zeros() as usize;
        let half = bits.div_ceil(2);
        let mut limbs = vec![0; half / 32 + 1];
        limbs[half / 32] = 1 << (half % 32);
        let mut root = Number::trimmed(limbs);
        loop {
            let next = root.add(&self.div(&root).0).div_small(2).0;
            if next >= root {
                return root;
            }
            root = next;
        }
    }

    /// The limbs, moved up by less than 32 bits, as so many limbs.
    fn shifted(&self, bits: u32, length: usize) -> Vec<u32> {
        let mut limbs = Vec::with_capacity(length);
        let mut carry = 0;
        for &limb in &self.0 {
            let value = u64::from(limb) << bits;
            limbs.push(value as u32 | carry);
            carry = (value >> 32) as u32;
        }
        if limbs.len() < length {
            limbs.push(carry);
        }
        limbs
    }

    fn trimmed(mut limbs: Vec<u32>) -> Number {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Number(limbs)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

/// Subtracts `times` times the divisor from a part of the rest, one limb longer; whether that was too
/// much.
fn take(rest: &mut [u32], divisor: &[u32], times: u64) -> bool {
    let mut carry = 0_u64;
    let mut borrow = false;
    for (at, limb) in rest.iter_mut().enumerate() {
        let product = times * u64::from(divisor.get(at).copied().unwrap_or(0)) + carry;
        carry = product >> 32;
        let (less, first) = limb.overflowing_sub(product as u32);
        let (less, second) = less.overflowing_sub(u32::from(borrow));
        *limb = less;
        borrow = first || second;
    }
    borrow
}

/// Adds the divisor once, after [`take`] was one too much.
fn give_back(rest: &mut [u32], divisor: &[u32]) {
    let mut carry = 0;
    for (at, limb) in rest.iter_mut().enumerate() {
        let sum = u64::from(*limb) + u64::from(divisor.get(at).copied().unwrap_or(0)) + carry;
        *limb = sum as u32;
        carry = sum >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Numbers of up to four limbs, with limbs of all zeroes and all ones more often.
    fn draw(random: &mut Random) -> u128 {
        let limbs = random.below(5);
        (0..limbs).fold(0, |value, _| {
            let limb = match random.below(4) {
                0 => 0,
                1 => u32::MAX,
                _ => random.next() as u32,
            };
            value << 32 | u128::from(limb)
        })
    }

    fn number(value: u128) -> Number {
        Number::trimmed((0..4).map(|at| (value >> (32 * at)) as u32).collect())
    }

    #[test]
    fn arithmetic_agrees_with_the_processors() {
        let mut random = Random::new(5);
        for _ in 0..100_000 {
            let (a, b) = (draw(&mut random), draw(&mut random));
            let (x, y) = (number(a), number(b));
            assert_eq!(x.cmp(&y), a.cmp(&b));
            if let Some(sum) = a.checked_add(b) {
                assert_eq!(x.add(&y), number(sum));
            }
            assert_eq!(number(a.max(b)).sub(&number(a.min(b))), number(a.abs_diff(b)));
            if let Some(product) = a.checked_mul(b) {
                assert_eq!(x.mul(&y), number(product));
            }
            if let (Some(quotient), Some(rest)) = (a.checked_div(b), a.checked_rem(b)) {
                assert_eq!(x.div(&y), (number(quotient), number(rest)), "{a} / {b}");
                // Beyond 128 bits: division takes multiplication back.
                assert_eq!(x.mul(&y).div(&y), (x.clone(), number(0)));
            }
        }
    }

    #[test]
    fn roots_and_divisors_are_the_greatest() {
        let mut random = Random::new(6);
        for _ in 0..10_000 {
            let a = draw(&mut random);
            let root = number(a).sqrt();
            let above = root.add(&Number::new(1));
            assert!(root.mul(&root) <= number(a) && above.mul(&above) > number(a), "{a}");
        }
        assert_eq!(Number::new(2 * 3 * 5 * 7).gcd(&Number::new(3 * 7 * 11)), Number::new(21));
        assert_eq!(Number::new(9).gcd(&Number::new(0)), Number::new(9));
    }
}
