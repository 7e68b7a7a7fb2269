//! cfrac: a storm of tiny blocks on one thread.
//!
//! Models: a program of symbolic or multiple-precision arithmetic: nearly every operation makes a number of 4 to 24
//! bytes in a block of its own, which soon dies. Products of two random primes are factored by the continued-fraction
//! method (Morrison and Brillhart, 1975): the expansion of the product's root gives squares modulo the product that
//! are small; those with only small prime factors are collected until some of them multiply to a square.
//!
//! Source: D. Barrett's cfrac, an allocation benchmark since B. Zorn and D. Grunwald's work of the 1990s;
//! mimalloc-bench factors one number of 44 digits with it, here it is several of 19, so that the work can be
//! scaled. Each factorisation is checked.
//!
//! Sensitive to: the length of the fast paths for a handful of sizes, and little else.

use stratalloc_bench_protocol::Group;

use super::number::Number;
use crate::measure::Run;
use crate::random::{Random, fold};
use crate::registry::{Parameters, Threads, Workload};

pub const CFRAC: Workload = Workload {
    name: "cfrac",
    group: Group::Classic,
    models: "One thread factors numbers by continued fractions, each intermediate result a tiny block",
    source: "cfrac (D. Barrett); mimalloc-bench",
    sensitive_to: "the length of the fast paths for a few tiny sizes",
    threads: Threads::Fixed(1),
    latency: true,
    run,
};

/// Products factored at scale 1.
const PRODUCTS: u64 = 65;

/// Small primes tried on each square.
const BASE: usize = 50;

/// Squares collected beyond the number of small primes, before the first try.
const SURPLUS: usize = 10;

/// Steps after which another multiple of the product is expanded: its period was too short.
const PATIENCE: u64 = 100_000;

fn run(parameters: &Parameters, run: &mut Run) {
    let mut random = Random::new(parameters.seed);
    let products: Vec<u64> = (0..parameters.scaled(PRODUCTS))
        .map(|_| {
            let first = prime(&mut random);
            let second = std::iter::repeat_with(|| prime(&mut random)).find(|&second| second != first);
            first * second.expect("an endless sequence")
        })
        .collect();
    let mut sum = 0;
    run.start();
    for &product in &products {
        let (factor, steps) = factor(product);
        assert!(factor > 1 && factor < product && product % factor == 0, "{factor} of {product}");
        sum = fold(sum, factor.min(product / factor));
        run.operations(steps);
    }
    run.stop();
    run.checksum(sum);
}

/// A random prime of 32 bits with the highest bit set.
fn prime(random: &mut Random) -> u64 {
    std::iter::repeat_with(|| random.next() as u32 | 1 << 31 | 1)
        .find(|&candidate| is_prime(candidate))
        .map_or(0, u64::from)
}

/// Whether an odd number above 7 is prime: Miller and Rabin's test by bases that suffice for 32 bits.
fn is_prime(number: u32) -> bool {
    let modulus = u64::from(number);
    let twos = (modulus - 1).trailing_zeros();
    [2, 7, 61].into_iter().filter(|base| base % modulus != 0).all(|base| {
        let mut power = power(base, (modulus - 1) >> twos, modulus);
        let probable = |power| power == 1 || power == modulus - 1;
        if probable(power) {
            return true;
        }
        (1..twos).any(|_| {
            power = power * power % modulus;
            power == modulus - 1
        })
    })
}

/// `base` to the power of `exponent`, modulo less than 2^32.
fn power(base: u64, exponent: u64, modulus: u64) -> u64 {
    let (mut base, mut exponent, mut result) = (base % modulus, exponent, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    result
}

/// `root` squared is `value`, or where `negative` its opposite, modulo the product that is factored.
struct Square {
    root: Number,
    value: Number,
    negative: bool,
}

/// A square whose value is the product of the base's primes to these powers.
struct Relation {
    root: Number,
    negative: bool,
    powers: Vec<u32>,
}

/// A proper factor of an odd composite number that is no square, and the steps taken.
fn factor(product: u64) -> (u64, u64) {
    let product = Number::new(product);
    let mut steps = 0;
    for multiplier in (1..).filter(|multiplier| !u64::is_multiple_of(*multiplier, 4)) {
        let multiple = product.mul(&Number::new(multiplier));
        let base = small_primes(&multiple);
        let mut expansion = Expansion::new(&multiple, &product);
        let mut relations = Vec::new();
        let mut wanted = BASE + SURPLUS;
        for _ in 0..PATIENCE {
            steps += 1;
            let Some(square) = expansion.step() else { break };
            relations.extend(smooth(square, &base));
            if relations.len() >= wanted {
                if let Some(factor) = combine(&relations, &base, &product) {
                    return (factor, steps);
                }
                wanted += SURPLUS;
            }
        }
    }
    unreachable!("the multipliers have no end")
}

/// The primes that can divide a square modulo the number: those by which it is a square itself.
fn small_primes(number: &Number) -> Vec<u32> {
    let odd = (3_u32..)
        .step_by(2)
        .filter(|candidate| (3..).take_while(|d| d * d <= *candidate).all(|d| candidate % d != 0));
    let usable = odd.filter(|&prime| {
        let rest = u64::from(number.div_small(prime).1);
        rest == 0 || power(rest, u64::from(prime / 2), u64::from(prime)) == 1
    });
    std::iter::once(2).chain(usable).take(BASE).collect()
}

/// The continued fraction of a number's root, with its convergents' numerators modulo the product.
struct Expansion<'a> {
    product: &'a Number,
    /// The root, rounded down.
    floor: Number,
    /// The complete quotient is (root + p) / q.
    p: Number,
    q: Number,
    previous_q: Number,
    /// The last two numerators.
    numerator: Number,
    previous_numerator: Number,
    negative: bool,
}

impl<'a> Expansion<'a> {
    fn new(number: &Number, product: &'a Number) -> Expansion<'a> {
        let floor = number.sqrt();
        Expansion {
            product,
            numerator: floor.rem(product),
            previous_numerator: Number::new(1),
            p: floor.clone(),
            q: number.sub(&floor.mul(&floor)),
            previous_q: Number::new(1),
            floor,
            negative: true,
        }
    }

    /// The next small square; `None` at the end of the period.
    fn step(&mut self) -> Option<Square> {
        if self.q.is_zero() || self.q.is_one() {
            return None;
        }
        let square = Square { root: self.numerator.clone(), value: self.q.clone(), negative: self.negative };
        let quotient = self.floor.add(&self.p).div(&self.q).0;
        let p = quotient.mul(&self.q).sub(&self.p);
        // q' = previous q + quotient * (p - p'), whose bracket may be negative.
        let q = if self.p >= p {
            self.previous_q.add(&quotient.mul(&self.p.sub(&p)))
        } else {
            self.previous_q.sub(&quotient.mul(&p.sub(&self.p)))
        };
        let numerator = quotient.mul(&self.numerator).add(&self.previous_numerator).rem(self.product);
        self.previous_numerator = std::mem::replace(&mut self.numerator, numerator);
        self.previous_q = std::mem::replace(&mut self.q, q);
        self.p = p;
        self.negative = !self.negative;
        Some(square)
    }
}

/// The square as a product of the base's primes, where it is one.
fn smooth(square: Square, base: &[u32]) -> Option<Relation> {
    let mut rest = square.value;
    let mut powers = Vec::with_capacity(base.len());
    for &prime in base {
        let mut power = 0;
        loop {
            let (quotient, remainder) = rest.div_small(prime);
            if remainder != 0 {
                break;
            }
            rest = quotient;
            power += 1;
        }
        powers.push(power);
    }
    rest.is_one().then_some(Relation { root: square.root, negative: square.negative, powers })
}

/// Relations whose values multiply to a square give two roots of it, and these a factor in half of all cases: found by
/// Gaussian elimination of the powers' parities.
fn combine(relations: &[Relation], base: &[u32], product: &Number) -> Option<u64> {
    const { assert!(BASE < 64, "the parities and the sign are one word") };
    let mut pivots: [Option<(u64, Vec<bool>)>; 64] = [const { None }; 64];
    for (at, relation) in relations.iter().enumerate() {
        let signed = u64::from(relation.negative);
        let odd = relation.powers.iter().rev().fold(0, |odd, &power| odd << 1 | u64::from(power & 1));
        let mut parity = odd << 1 | signed;
        let mut used = vec![false; relations.len()];
        used[at] = true;
        while parity != 0 {
            let Some((pivot, others)) = &mut pivots[parity.trailing_zeros() as usize] else {
                pivots[parity.trailing_zeros() as usize] = Some((parity, used));
                used = Vec::new();
                break;
            };
            parity ^= *pivot;
            used.iter_mut().zip(others).for_each(|(used, other)| *used ^= *other);
        }
        let chosen = || relations.iter().zip(&used).filter(|(_, used)| **used).map(|(relation, _)| relation);
        if parity == 0
            && let Some(factor) = try_roots(chosen, base, product)
        {
            return Some(factor);
        }
    }
    None
}

/// The factor that the chosen relations' two roots have in common with the product, where it is a proper one.
fn try_roots<'a, I: Iterator<Item = &'a Relation>>(
    chosen: impl Fn() -> I,
    base: &[u32],
    product: &Number,
) -> Option<u64> {
    let one = Number::new(1);
    let first = chosen().fold(one.clone(), |root, relation| root.mul(&relation.root).rem(product));
    let mut second = one;
    for (at, &prime) in base.iter().enumerate() {
        let power: u32 = chosen().map(|relation| relation.powers[at]).sum();
        for _ in 0..power / 2 {
            second = second.mul(&Number::new(u64::from(prime))).rem(product);
        }
    }
    let difference = if first >= second { first.sub(&second) } else { second.sub(&first) };
    let factor = difference.gcd(product);
    (!factor.is_one() && factor != *product).then(|| factor.to_u64()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_told_from_products() {
        let by_division = |number: u32| (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d));
        for number in (9..20_000).step_by(2) {
            assert_eq!(is_prime(number), by_division(number), "{number}");
        }
        assert!(is_prime(4_294_967_291) && !is_prime(4_294_967_295));
    }

    #[test]
    fn products_are_factored() {
        for (a, b) in [(3, 7), (1009, 1013), (65_537, 4_294_967_291), (2_147_483_659, 4_294_967_279)] {
            let (found, steps) = factor(a * b);
            assert!(found == a || found == b, "{found} of {a} * {b}");
            assert!(steps > 0);
        }
    }
}
