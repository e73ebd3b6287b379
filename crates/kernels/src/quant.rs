//! Block formats of the quantized storage types and their exact dequantization.
