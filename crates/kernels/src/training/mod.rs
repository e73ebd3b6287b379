//! What training needs besides products: gradients of the row-wise work, attention in both directions,
//! the loss, the optimizer's arithmetic. Profile `terang-train-f32-1`: every sum has one order, whatever
//! the number of threads.

mod attention;
mod loss;
mod rows;
mod update;

pub use attention::{Attention, Shape, backward, forward};
pub use loss::cross_entropy;
pub use rows::{gated_silu_backward, rms_norm_backward, rms_norm_weight_gradient};
pub use update::{AdamW, sum_of_squares};

#[cfg(test)]
mod tests;
