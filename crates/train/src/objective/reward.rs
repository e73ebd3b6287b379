//! Learning by rewards that are checked and not judged: group-relative policy optimization (GRPO,
//! arXiv:2402.03300).
//!
//! Each question is answered by a group of draws; an answer's advantage is its reward less the group's mean.
//! Each answer is used for one step, with the weights that wrote it, so that no ratio of probabilities has to
//! be cut. Advantages are not divided by the group's deviation, and sums not by an answer's length, which would
//! favour easy questions and long wrong answers ("Dr. GRPO", arXiv:2503.20783).

use super::{Objective, Order, Score, concatenated};
use crate::corpus::Document;
use crate::decoder::Decoder;
use crate::decoder::generate::{drawn, largest};
use crate::examples::Task;
use std::sync::Arc;
use terang_kernels::philox::uniform_of;
use terang_model::tokenizer::Tokenizer;

/// Streams of random numbers for answers, apart from those of orders and initial values.
const ANSWER_STREAM: u32 = 3 << 29;

/// How answers are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawing {
    /// Answers to each question.
    pub(crate) group: usize,
    /// Longest answer, in tokens.
    pub(crate) most: usize,
    pub(crate) temperature: f64,
}

/// What an answer is read with.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// Tokens that end an answer.
    pub(crate) stops: Vec<u32>,
}

impl Reading {
    /// An answer's text, without the token that ends it; none where it did not come to its end.
    fn text(&self, answer: &[u32]) -> Option<String> {
        let (last, words) = answer.split_last()?;
        if !self.stops.contains(last) {
            return None;
        }
        Some(self.tokenizer.decode(words, true))
    }

    /// 1 for a right answer that comes to its end, 0 for any other.
    fn reward(&self, task: &Task, answer: &[u32]) -> f64 {
        let text = self.text(answer);
        f64::from(u8::from(text.is_some_and(|text| task.check.holds(&text))))
    }
}

/// Learns from tasks.
#[derive(Debug)]
pub(crate) struct Reward {
    tasks: Vec<Task>,
    validation: Vec<Task>,
    order: Order,
    reading: Reading,
    drawing: Drawing,
    seed: u64,
    /// Answers of a step, and of a micro-batch: whole groups.
    batch: usize,
    micro_batch: usize,
    number: u64,
    step: Vec<usize>,
}

impl Reward {
    /// Tasks whose question leaves no room for an answer in `sequence` tokens are left out.
    pub(crate) fn new(
        tasks: Vec<Task>,
        validation: Vec<Task>,
        reading: Reading,
        drawing: Drawing,
        (batch, micro_batch, sequence): (usize, usize, usize),
        seed: u64,
    ) -> Self {
        let fits = |task: &Task| task.prompt.len() + drawing.most <= sequence + 1;
        let tasks: Vec<Task> = tasks.into_iter().filter(fits).collect();
        Self {
            order: Order::new(tasks.len(), seed),
            validation: validation.into_iter().filter(fits).collect(),
            tasks,
            reading,
            drawing,
            seed,
            batch,
            micro_batch,
            number: 0,
            step: Vec::new(),
        }
    }
}

impl Objective for Reward {
    fn tokens(&self) -> usize {
        self.tasks.iter().map(|task| task.prompt.len()).sum()
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn is_enough(&mut self) -> bool {
        !self.tasks.is_empty()
    }

    fn begin(&mut self, step: u64) -> usize {
        let n = (self.batch / self.drawing.group) as u64;
        self.number = step;
        self.step = (step * n..(step + 1) * n)
            .map(|index| self.order.at(index))
            .collect();
        self.batch / self.micro_batch
    }

    fn gradient(
        &mut self,
        decoder: &mut Decoder,
        parameters: &[f32],
        index: usize,
        gradient: &mut [f32],
    ) -> Score {
        let Drawing {
            group,
            most,
            temperature,
        } = self.drawing;
        let questions = self.micro_batch / group;
        let taken = &self.step[index * questions..(index + 1) * questions];
        let tasks: Vec<&Task> = taken.iter().map(|&at| &self.tasks[at]).collect();
        let prompts: Vec<&[u32]> = tasks
            .iter()
            .flat_map(|task| std::iter::repeat_n(&task.prompt[..], group))
            .collect();
        // Each answer of the whole run has its own draws, whoever makes it.
        let first = self.number * self.batch as u64 + (index * self.micro_batch) as u64;
        let seed = self.seed;
        let answers = decoder.generate(
            parameters,
            &prompts,
            most,
            &self.reading.stops,
            &mut |text, nth, logits| {
                let position = (first + text as u64) * most as u64 + nth as u64;
                drawn(
                    logits,
                    temperature,
                    uniform_of(seed, ANSWER_STREAM, position),
                )
            },
        );
        let rewards: Vec<f64> = answers
            .iter()
            .enumerate()
            .map(|(i, answer)| self.reading.reward(tasks[i / group], answer))
            .collect();
        let documents: Vec<Document> = prompts
            .iter()
            .zip(&answers)
            .map(|(prompt, answer)| Document {
                tokens: [*prompt, answer].concat(),
                learned: [vec![false; prompt.len()], vec![true; answer.len()]].concat(),
            })
            .collect();
        let mut batch = concatenated(documents.iter());
        let ranges = batch.documents.clone();
        let mut score = Score {
            reward: rewards.iter().sum(),
            rewards: rewards.len() as f64,
            losses: answers.iter().map(|answer| answer.len() as f64).sum(),
            ..Score::default()
        };
        // One length for all answers, the longest there may be.
        let n = (self.batch * most) as f64;
        let mut weigh = |losses: &[f32], weights: &mut [f32]| {
            score.loss = losses.iter().map(|x| f64::from(*x)).sum();
            for (at, range) in ranges.iter().enumerate() {
                let own = &rewards[at / group * group..][..group];
                let advantage = rewards[at] - own.iter().sum::<f64>() / group as f64;
                for weight in &mut weights[range.clone()] {
                    *weight *= (advantage / n) as f32;
                }
            }
        };
        decoder.loss_and_gradient_weighed(parameters, &mut batch, &mut weigh, gradient);
        score
    }

    /// The share of right answers where always the likeliest token is taken.
    fn validate(&mut self, decoder: &mut Decoder, parameters: &[f32]) -> Score {
        let mut score = Score::default();
        for tasks in self.validation.chunks(self.micro_batch) {
            let prompts: Vec<&[u32]> = tasks.iter().map(|task| &task.prompt[..]).collect();
            let (most, stops) = (self.drawing.most, &self.reading.stops);
            let answers =
                decoder.generate(parameters, &prompts, most, stops, &mut |_, _, logits| {
                    largest(logits)
                });
            for (task, answer) in tasks.iter().zip(&answers) {
                score.reward += self.reading.reward(task, answer);
                score.rewards += 1.0;
            }
        }
        score
    }
}
