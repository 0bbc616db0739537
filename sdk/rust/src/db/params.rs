//! The parameters of a statement.

use super::Value;

/// The parameters of a statement, `$1` first: a tuple of up to twelve, an array or vector of [`Value`]s, or
/// `()` for none.
///
/// ```
/// use mortise_sdk::db::{Params, Value};
/// use mortise_sdk::params;
///
/// assert_eq!((1, "two").into_values(), params![1, "two"]);
/// assert_eq!(().into_values(), Vec::<Value>::new());
/// ```
pub trait Params {
    /// The values, in order.
    ///
    /// ```
    /// use mortise_sdk::db::{Params, Value};
    ///
    /// assert_eq!((true,).into_values(), [Value::Boolean(true)]);
    /// ```
    fn into_values(self) -> Vec<Value>;
}

/// The parameters of a statement as a list, `$1` first: anything that is [`Into<Value>`](crate::db::Value).
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
        ::std::vec::Vec::<$crate::db::Value>::from([$($crate::db::Value::from($value)),*])
    };
}

impl Params for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl Params for Vec<Value> {
    fn into_values(self) -> Vec<Value> {
        self
    }
}

impl Params for &[Value] {
    fn into_values(self) -> Vec<Value> {
        self.to_vec()
    }
}

impl<const N: usize> Params for [Value; N] {
    fn into_values(self) -> Vec<Value> {
        self.into()
    }
}

macro_rules! implement_params {
    ($($name:ident)*) => {
        impl<$($name: Into<Value>),*> Params for ($($name,)*) {
            #[expect(non_snake_case, reason = "the names are those of the types")]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
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
