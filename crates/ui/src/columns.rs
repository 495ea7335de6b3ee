//! Numbers in columns, in a form that a browser reads without looking at any of them: typed arrays over the bytes as they came.
//!
//! ```text
//! u32        length of the head, bytes
//! head       JSON, filled up with spaces, so that the columns begin at a multiple of eight
//! columns    one behind the other, each from a multiple of eight
//! ```
//!
//! All numbers are little endian. The head's `columns` says `{name: [form, begin, count] …}`: the form is `u8`, `u16`, `u32`,
//! `i32`, `f32` or `f64`, the beginning is counted in bytes from where the columns begin.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What it is sent as.
const CONTENT_TYPE: &str = "application/octet-stream";
/// What positions are multiples of: the longest number's length.
const ALIGNMENT: usize = 8;

/// Where a column is: its form, its begin and how many numbers it has.
pub type Place = (&'static str, usize, usize);

/// Columns that are being put together.
#[derive(Default)]
pub struct Columns {
    bytes: Vec<u8>,
    places: BTreeMap<&'static str, Place>,
}

macro_rules! columns_of {
    ($($form:ident),*) => {
        $(
            /// Adds a column of this form.
            pub fn $form(&mut self, name: &'static str, numbers: impl IntoIterator<Item = $form>) {
                self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
                let begin = self.bytes.len();
                self.bytes.extend(numbers.into_iter().flat_map(|number| number.to_le_bytes()));
                let count = (self.bytes.len() - begin) / size_of::<$form>();
                self.places.insert(name, (stringify!($form), begin, count));
            }
        )*
    };
}

impl Columns {
    columns_of!(u8, u16, u32, i32, f32, f64);

    /// The whole, with what else the head is to say.
    pub fn finish(self, head: impl Serialize) -> serde_json::Result<Packed> {
        #[derive(Serialize)]
        struct Head<'a, T> {
            #[serde(flatten)]
            head: T,
            columns: &'a BTreeMap<&'static str, Place>,
        }
        let mut whole = vec![0; size_of::<u32>()];
        serde_json::to_writer(&mut whole, &Head { head, columns: &self.places })?;
        whole.resize(whole.len().next_multiple_of(ALIGNMENT), b' ');
        let length = (whole.len() - size_of::<u32>()) as u32;
        whole[..size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
        whole.extend(self.bytes);
        Ok(Packed(whole))
    }
}

/// Columns with their head, as they are sent.
pub struct Packed(Vec<u8>);

impl IntoResponse for Packed {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0).into_response()
    }
}
