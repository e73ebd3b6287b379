//! Questions of arithmetic with small numbers, as children learn them by heart.

use super::{pair, shuffled, typed};
use crate::document::Document;

const QUESTIONS: [&str; 6] = [
    "What is {}?",
    "How much is {}?",
    "Calculate {}.",
    "Berapa {}?",
    "Hitung {}.",
    "Berapakah hasil {}?",
];

/// How an operation is said instead of written, in English and in two ways in Indonesian.
fn said(sign: &str) -> [&'static str; 3] {
    match sign {
        "+" => ["plus", "tambah", "ditambah"],
        "-" => ["minus", "kurang", "dikurangi"],
        "x" => ["times", "kali", "dikali"],
        _ => ["divided by", "bagi", "dibagi"],
    }
}

/// Sums and differences to 20, products and quotients of the small table.
pub(super) fn documents(count: usize) -> Vec<Document> {
    let mut facts = Vec::new();
    for a in 0..=10u32 {
        for b in 0..=10u32 {
            facts.push((a, "+", b, a + b));
            facts.push((a + b, "-", a, b));
            facts.push((a, "x", b, a * b));
            if a > 0 {
                facts.push((a * b, "/", a, b));
            }
        }
    }
    let facts = shuffled(facts);
    let mut documents = Vec::new();
    // Each fact in one way before any in another, so that a small count has them all.
    for round in 0..2 * QUESTIONS.len() {
        for (index, &(a, sign, b, result)) in facts.iter().enumerate() {
            if documents.len() >= count {
                return documents;
            }
            let question = QUESTIONS[(index + round) % QUESTIONS.len()];
            let is_indonesian = (index + round) % QUESTIONS.len() >= 3;
            let asked = if round % 4 == 3 {
                let way = if is_indonesian { 1 + round / 4 % 2 } else { 0 };
                format!("{a} {} {b}", said(sign)[way])
            } else {
                format!("{a} {sign} {b}")
            };
            let question = question.replace("{}", &asked);
            let question = if round % 3 == 2 {
                typed(&question)
            } else {
                question
            };
            documents.push(pair(&question, &format!("{a} {sign} {b} = {result}.")));
        }
    }
    documents
}
