//! The second, lenient pass over a JSON body: it accepts integers written as `5.0`, and it locates
//! errors.
//!
//! Every deserializer and visitor of serde is wrapped, so this applies to fields at any depth, in
//! structs, enums, maps and options. Values that serde buffers (`#[serde(flatten)]`, untagged and
//! internally tagged enums) get an integer for each number with an integral value, which float
//! types accept too. 128-bit integers are an exception: serde_json itself reads their digits,
//! without a fraction.

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::key::Key;

/// Up to this value, floats represent integers exactly. Beyond it, digits may be lost.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Deserializes a value.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let place = Place::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = T::deserialize(Lenient {
        inner: &mut deserializer,
        place: &place,
        integers: false,
    });
    let ended = read.and_then(|value| deserializer.end().map(|()| value));
    ended.map_err(|error| match place.failed.into_inner() {
        Some(pointer) if !pointer.is_empty() => format!("at `{pointer}`: {error}"),
        _ => error.to_string(),
    })
}

/// The location in the body of the value that is read.
#[derive(Default)]
struct Place {
    /// Member names and item indexes, outermost first.
    segments: RefCell<Vec<String>>,
    /// The JSON pointer of the first value that could not be read.
    failed: RefCell<Option<String>>,
}

impl Place {
    /// Runs `read` one level deeper.
    fn below<T, E>(&self, segment: String, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.segments.borrow_mut().push(segment);
        let result = read();
        if result.is_err() {
            self.failed.borrow_mut().get_or_insert_with(|| self.pointer());
        }
        self.segments.borrow_mut().pop();
        result
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for segment in self.segments.borrow().iter() {
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
        }
        pointer
    }
}

/// A wrapper of a deserializer, a visitor or a seed.
struct Lenient<'a, T> {
    inner: T,
    place: &'a Place,
    /// Whether a visitor gets an integer for a float with an integral value.
    integers: bool,
}

impl<'a, T> Lenient<'a, T> {
    fn with<U>(&self, inner: U) -> Lenient<'a, U> {
        Lenient {
            inner,
            place: self.place,
            integers: false,
        }
    }
}

/// Converts a float with an integral value to an integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction and is at most 2^53 from zero"
)]
fn integer(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= MAX_EXACT).then_some(value as i64)
}

macro_rules! wrapped {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with(visitor);
            self.inner.$method($($argument,)* visitor)
        })*
    };
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            let visitor = Lenient { integers: true, ..self.with(visitor) };
            self.inner.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<'_, D> {
    type Error = D::Error;

    integers! {
        deserialize_any deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    wrapped! {
        deserialize_bool()
        deserialize_i128()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The visitor methods for scalar values.
macro_rules! forwarded {
    ($($method:ident($type:ty))*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Lenient<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(formatter)
    }

    forwarded! {
        visit_bool(bool)
        visit_i64(i64)
        visit_i128(i128)
        visit_u64(u64)
        visit_u128(u128)
        visit_char(char)
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_string(String)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
        visit_byte_buf(Vec<u8>)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        match integer(value).filter(|_| self.integers) {
            Some(integer) => self.inner.visit_i64(integer),
            None => self.inner.visit_f64(value),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let items = Items {
            items: self.with(items),
            next: 0,
        };
        self.inner.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        let members = Members {
            members: self.with(members),
            name: String::new(),
        };
        self.inner.visit_map(members)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.with(variant);
        self.inner.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Lenient<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.deserialize(deserializer)
    }
}

struct Items<'a, A> {
    items: Lenient<'a, A>,
    next: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.items.with(seed);
        let (segment, place) = (self.next.to_string(), self.items.place);
        self.next += 1;
        place.below(segment, || self.items.inner.next_element_seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.inner.size_hint()
    }
}

struct Members<'a, A> {
    members: Lenient<'a, A>,
    /// The name of the member whose value comes next.
    name: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.members.inner.next_key::<String>()? else {
            return Ok(None);
        };
        let key = seed.deserialize(Key::<A::Error>::new(&name))?;
        self.name = name;
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.members.with(seed);
        let (segment, place) = (std::mem::take(&mut self.name), self.members.place);
        place.below(segment, || self.members.inner.next_value_seed(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.members.inner.size_hint()
    }
}

impl<'a, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Lenient<'a, A> {
    type Error = A::Error;
    type Variant = Lenient<'a, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let place = self.place;
        let (variant, content) = self.inner.variant_seed(seed)?;
        let content = Lenient {
            inner: content,
            place,
            integers: false,
        };
        Ok((variant, content))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Lenient<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
