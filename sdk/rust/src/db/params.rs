//! The parameters of a statement.

use super::{Error, Value};

/// The parameters of a statement, `$1` first: a tuple of up to twelve [`Param`]s, an array or
/// vector of [`Value`]s, the result of [`params!`](crate::params), or `()` for none.
///
/// ```
/// use mortise_sdk::db::Params;
/// use mortise_sdk::params;
///
/// assert_eq!((1, "two").into_values(), params![1, "two"]);
/// assert_eq!(().into_values(), Ok(vec![]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of parameters",
    note = "write a tuple of up to twelve, `(id,)` for one and `()` for none, or `params![id, name]` for more"
)]
pub trait Params {
    /// Converts the parameters to values, in order. Fails if the database cannot store one.
    ///
    /// ```
    /// use mortise_sdk::db::{Params, Value};
    ///
    /// assert_eq!((true,).into_values(), Ok(vec![Value::Boolean(true)]));
    /// ```
    fn into_values(self) -> Result<Vec<Value>, Error>;
}

/// One parameter: any type that is [`Into<Value>`](Value), and the integers that may exceed a
/// column: `u64`, `usize`, `isize`, `i128`, `u128`. A value that does not fit is
/// [`Error::Invalid`].
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::db;
///
/// assert_eq!(db::query_one::<usize>("SELECT $1", ("four".len(),)), Ok(4));
/// assert!(matches!(db::query("SELECT $1", (u64::MAX,)), Err(db::Error::Invalid(_))));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no parameter of a statement",
    note = "parameters are integers, floats, booleans, text, bytes and an `Option` of these",
    note = "implement `From<{Self}> for mortise_sdk::db::Value` for a type of your own"
)]
pub trait Param {
    /// Converts the parameter to a value, if the database can store it.
    ///
    /// ```
    /// use mortise_sdk::db::{Param, Value};
    ///
    /// assert_eq!(7_usize.into_value(), Ok(Value::Integer(7)));
    /// assert!(u64::MAX.into_value().is_err());
    /// ```
    fn into_value(self) -> Result<Value, Error>;
}

impl<T: Into<Value>> Param for T {
    fn into_value(self) -> Result<Value, Error> {
        Ok(self.into())
    }
}

macro_rules! checked_integers {
    ($($integer:ty)*) => {
        $(
            impl Param for $integer {
                fn into_value(self) -> Result<Value, Error> {
                    i64::try_from(self).map(Value::Integer).map_err(|_| {
                        Error::Invalid(format!(
                            "the parameter {self} does not fit into the 64 bits of an integer, from {} to {}",
                            i64::MIN,
                            i64::MAX
                        ))
                    })
                }
            }

            impl Param for Option<$integer> {
                fn into_value(self) -> Result<Value, Error> {
                    self.map_or(Ok(Value::Null), Param::into_value)
                }
            }
        )*
    };
}

checked_integers! { u64 usize isize i128 u128 }

/// The parameters of a statement as a list, `$1` first: any number of [`Param`](crate::db::Param)s.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::{db, params};
///
/// let sum: i64 = db::query_one("SELECT $1 + $2", params![40, 2])?;
/// assert_eq!(sum, 42);
/// # Ok::<(), db::Error>(())
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        $crate::__private::values([$($crate::db::Param::into_value($value)),*])
    };
}

/// Used by [`params!`](crate::params).
#[doc(hidden)]
pub fn values<const N: usize>(values: [Result<Value, Error>; N]) -> Result<Vec<Value>, Error> {
    values.into_iter().collect()
}

impl Params for () {
    fn into_values(self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}

impl Params for Vec<Value> {
    fn into_values(self) -> Result<Vec<Value>, Error> {
        Ok(self)
    }
}

impl Params for Result<Vec<Value>, Error> {
    fn into_values(self) -> Result<Vec<Value>, Error> {
        self
    }
}

impl Params for &[Value] {
    fn into_values(self) -> Result<Vec<Value>, Error> {
        Ok(self.to_vec())
    }
}

impl<const N: usize> Params for [Value; N] {
    fn into_values(self) -> Result<Vec<Value>, Error> {
        Ok(self.into())
    }
}

macro_rules! implement_params {
    ($($name:ident)*) => {
        impl<$($name: Param),*> Params for ($($name,)*) {
            #[expect(non_snake_case, reason = "the names are those of the types")]
            fn into_values(self) -> Result<Vec<Value>, Error> {
                let ($($name,)*) = self;
                Ok(vec![$($name.into_value()?),*])
            }
        }
    };
}

implement_params!(A);
implement_params!(A B);
implement_params!(A B C);
implement_params!(A B C D);
implement_params!(A B C D E);
implement_params!(A B C D E F);
implement_params!(A B C D E F G);
implement_params!(A B C D E F G H);
implement_params!(A B C D E F G H I);
implement_params!(A B C D E F G H I J);
implement_params!(A B C D E F G H I J K);
implement_params!(A B C D E F G H I J K L);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_fit_are_parameters_and_others_are_named() {
        let largest = u64::try_from(i64::MAX).expect("it is positive");
        let values = (
            largest,
            7_usize,
            -7_isize,
            i128::from(i64::MIN),
            Some(9_u64),
            None::<usize>,
        )
            .into_values();
        let integers = [i64::MAX, 7, -7, i64::MIN, 9].map(Value::Integer);
        assert_eq!(values, Ok([&integers[..], &[Value::Null]].concat()));
        for refused in [
            (largest + 1,).into_values(),
            (Some(u64::MAX),).into_values(),
            (i128::MIN,).into_values(),
            crate::params![1, u128::MAX],
        ] {
            assert!(
                matches!(&refused, Err(Error::Invalid(why)) if why.contains("does not fit")),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_list_has_values_of_any_kind_and_may_be_empty() {
        assert_eq!(crate::params![], Ok(vec![]));
        assert_eq!(
            crate::params![1_usize, "a", None::<String>, true],
            Ok(vec![1.into(), "a".into(), Value::Null, true.into()])
        );
    }
}
