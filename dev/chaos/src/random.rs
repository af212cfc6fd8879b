//! Random choices that a seed reproduces.

use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

/// The seed of a run, from which each of its parts derives a generator.
#[derive(Debug, Clone, Copy)]
pub struct Seed(pub u64);

impl Seed {
    /// An independent generator for the part of the run with that name.
    pub fn rng(self, name: &str) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.0, name).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }
}

/// True with the given probability in percent.
pub(crate) fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reproduces_its_choices() {
        let choices = |seed, name| {
            let mut rng = Seed(seed).rng(name);
            let mut list = [1, 2, 3, 4, 5, 6, 7, 8];
            rng.shuffle(&mut list);
            (list, rng.u128(..), chance(&mut rng, 50))
        };
        assert_eq!(choices(7, "order"), choices(7, "order"));
        assert_ne!(choices(7, "order"), choices(8, "order"));
        assert_ne!(choices(7, "order"), choices(7, "proxy"));
    }
}
