//! Compares predictions with measured rows.
