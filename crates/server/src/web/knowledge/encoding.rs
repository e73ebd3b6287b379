//! Where passages and questions stand in a model's space of meanings: the seam to the encoder. Vectors
//! are kept as a byte a dimension, times a step: a quarter of their size, and close enough to rank by.

use terang_store::{PassageToEncode, StoredVector};

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// Numbers of a vector; an encoder that gives more is none that is known here.
const DIMENSIONS_MAX: usize = 8192;

/// Pieces that the words of a text may be cut into on average.
const PIECES_MAX: f32 = 1.7;
/// Characters of a word in scripts without spaces.
const DENSE_CHARS_OF_A_WORD: f32 = 2.0;

/// The model by whose meaning is searched, if one is there.
pub(super) fn model(app: &App) -> Option<String> {
    app.models.encoder_name().map(str::to_owned)
}

/// A vector of length 1 as codes times a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Codes {
    codes: Vec<i8>,
    scale: f32,
}

impl Codes {
    fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0_f32, |most, x| most.max(x.abs()));
        let scale = largest / 127.0;
        let code = |x: &f32| {
            if scale > 0.0 {
                (x / scale).round() as i8
            } else {
                0
            }
        };
        Self {
            codes: vector.iter().map(code).collect(),
            scale,
        }
    }

    /// How alike two meanings are, from -1 to 1; `None`: of another number of dimensions.
    pub(super) fn likeness(&self, kept: &StoredVector) -> Option<f32> {
        if kept.codes.len() != self.codes.len() {
            return None;
        }
        let pairs = self.codes.iter().zip(&kept.codes);
        let sum: i64 = pairs
            .map(|(&own, &other)| i64::from(own) * i64::from(other as i8))
            .sum();
        let likeness = sum as f32 * self.scale * kept.scale;
        likeness.is_finite().then_some(likeness)
    }
}

/// Where a question stands; `None`: the model knows too few of its words to say.
pub(super) async fn question(app: &App, question: &str) -> ApiResult<Option<Codes>> {
    let mut codes = encode(app, vec![question.to_owned()]).await?;
    let codes = codes
        .pop()
        .ok_or_else(|| ApiError::internal("the question could not be encoded"))?;
    Ok((codes.scale > 0.0).then_some(codes))
}

/// Where passages stand, each with its heading.
pub(super) async fn passages(
    app: &App,
    passages: Vec<PassageToEncode>,
) -> ApiResult<Vec<StoredVector>> {
    let texts = passages.iter().map(|passage| match &passage.heading {
        Some(heading) if !passage.content.contains(heading.as_str()) => {
            format!("{heading}\n{}", passage.content)
        }
        _ => passage.content.clone(),
    });
    let codes = encode(app, texts.collect()).await?;
    let vectors = passages
        .iter()
        .zip(codes)
        .map(|(passage, codes)| StoredVector {
            passage: passage.seq,
            scale: codes.scale,
            codes: codes.codes.into_iter().map(|code| code as u8).collect(),
        });
    Ok(vectors.collect())
}

/// What is longer than the model reads counts by its beginning. A text whose words it does not know is
/// like no other: its codes are nothing.
async fn encode(app: &App, texts: Vec<String>) -> ApiResult<Vec<Codes>> {
    let encoder = app.models.encoder().await?;
    let encoded = tokio::task::spawn_blocking(move || {
        let around = encoder.tokens("")?.len();
        let mut known = Vec::with_capacity(texts.len());
        for text in &texts {
            let tokens = encoder.tokens(text)?.len().saturating_sub(around);
            known.push(knows(text, tokens));
        }
        let wanted: Vec<&String> = texts
            .iter()
            .zip(&known)
            .filter_map(|(text, known)| known.then_some(text))
            .collect();
        let mut encoded = encoder.embed_cut(&wanted)?.into_iter();
        let vectors = known.iter().map(|known| {
            let one = known.then(|| encoded.next()).flatten();
            one.map_or_else(|| vec![0.0; encoder.dimensions()], |one| one.vector)
        });
        Ok::<Vec<Vec<f32>>, terang_engine::Error>(vectors.collect())
    });
    let encoded = encoded
        .await
        .map_err(|_| ApiError::internal("the encoder failed"))??;
    if encoded.iter().any(|vector| vector.len() > DIMENSIONS_MAX) {
        return Err(ApiError::internal("the encoder gives too many dimensions"));
    }
    Ok(encoded.iter().map(|vector| Codes::of(vector)).collect())
}

/// Whether a model that cuts a text into so many tokens was taught its words. In a language that it
/// was not taught it cuts most words into pieces, and finds all texts alike: all-MiniLM cuts an English
/// word into 1.0 to 1.5, an Indonesian one into 1.8 to 2.5, and two Indonesian sentences about different
/// things are then as alike (0.4 to 0.5) as two English ones about the same.
fn knows(text: &str, tokens: usize) -> bool {
    let signs = text
        .chars()
        .filter(|c| !c.is_alphanumeric() && !c.is_whitespace());
    let pieces = tokens.saturating_sub(signs.count());
    let words: f32 = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            let dense = word.chars().filter(|&c| is_dense(c)).count();
            (dense as f32 / DENSE_CHARS_OF_A_WORD).max(1.0)
        })
        .sum();
    pieces as f32 <= PIECES_MAX * words
}

/// Of the scripts of Chinese and Japanese, which put no space between words.
fn is_dense(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(vector: &[f32]) -> StoredVector {
        let codes = Codes::of(vector);
        StoredVector {
            passage: 1,
            scale: codes.scale,
            codes: codes.codes.into_iter().map(|code| code as u8).collect(),
        }
    }

    #[test]
    fn a_text_in_pieces_is_of_a_language_that_is_not_known() {
        // As all-MiniLM cuts them.
        assert!(knows("Am I allowed to fly business?", 7));
        assert!(knows("Summarize the plot of Hamlet.", 8));
        assert!(!knows("Berapa lama saya boleh berlibur?", 14));
        assert!(!knows("Siapa juara piala dunia 1998?", 10));
        assert!(!knows("每位员工每年有十二天假期。", 13));
        assert!(knows("?!", 2) && knows("", 0));
    }

    #[test]
    fn codes_are_as_alike_as_vectors() {
        let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
        let unit = |seed: u32| {
            let v: Vec<f32> = (0..384_u32)
                .map(|n| ((n * seed) % 97) as f32 / 48.0 - 1.0)
                .collect();
            let by = length(&v);
            v.iter().map(|x| x / by).collect::<Vec<f32>>()
        };
        for (a, b) in [(3, 3), (3, 5), (7, 11), (13, 2)] {
            let (a, b) = (unit(a), unit(b));
            let exact: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            let found = Codes::of(&a).likeness(&kept(&b)).unwrap();
            assert!((exact - found).abs() < 0.01, "{exact} {found}");
        }
        assert_eq!(Codes::of(&[0.0; 4]).likeness(&kept(&[1.0; 4])), Some(0.0));
        assert_eq!(Codes::of(&[1.0; 4]).likeness(&kept(&[1.0; 3])), None);
    }
}
