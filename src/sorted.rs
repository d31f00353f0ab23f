//! A map as one vector in the order of its keys, for a handful of entries that are looked up, and walked
//! in an order that is always the same.
//!
//! `BTreeMap` does that too, and for many entries faster; but its nodes, balancing and iterators are
//! compiled for every pair of types, 7 KB of wasm each. Where a pair of types is used widely, and in what
//! the crate's users see, it stays.

/// A map; see the module.
#[derive(Debug, Clone)]
pub struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap { entries: Vec::new() }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        SortedMap::default()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).ok().map(|at| &self.entries[at].1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).ok().map(|at| &mut self.entries[at].1)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Sets the value of a key; answers what it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// The value of a key, which is `default` from now on if there was none.
    pub fn get_or_insert(&mut self, key: K, default: V) -> &mut V {
        let at = self.find(&key).unwrap_or_else(|at| {
            self.entries.insert(at, (key, default));
            at
        });
        &mut self.entries[at].1
    }

    /// Takes a key's value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.find(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// Drops every entry that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values, taken out.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.entries.into_iter().map(|(_, value)| value)
    }

    /// Where a key is, or where it belongs.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_a_btree_map_does() {
        let mut map = SortedMap::new();
        let mut model = std::collections::BTreeMap::new();
        let mut number = 1_u32;
        for step in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = ((number >> 16) % 40).to_string();
            match (number >> 8) % 5 {
                0 => assert_eq!(map.remove(&*key), model.remove(&*key)),
                1 => *map.get_or_insert(key.clone(), 0) += 1,
                _ => assert_eq!(map.insert(key.clone(), step), model.insert(key.clone(), step)),
            }
            if (number >> 8) % 5 == 1 {
                *model.entry(key.clone()).or_insert(0) += 1;
            }
            if number.is_multiple_of(97) {
                map.retain(|_, value| *value % 3 > 0);
                model.retain(|_, value| *value % 3 > 0);
            }
            assert_eq!(map.get(&*key), model.get(&*key), "step {step}");
            assert_eq!(map.get_mut(&*key).is_some(), map.contains_key(&*key));
            assert_eq!(map.is_empty(), model.is_empty());
        }
        assert!(model.len() > 10);
        assert!(map.values().eq(model.values()));
        assert!(map.into_values().eq(model.into_values()));
    }
}
