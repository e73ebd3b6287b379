/** One question at a time: is it to be done for good? Or: what shall it be called? */
export type Question = {
  title: string;
  text?: string;
  action: string;
  /** Where a text is asked for: what it is, and how it begins. */
  label?: string;
  value?: string;
  /** Room for more than a line; then an empty text is an answer too. */
  long?: boolean;
  answer: (value: string | null) => void;
};

class Questions {
  open = $state.raw<Question | null>(null);
}

export const questions = new Questions();

const ask = (question: Omit<Question, 'answer'>): Promise<string | null> =>
  new Promise((resolve) => {
    questions.open?.answer(null);
    questions.open = { ...question, answer: resolve };
  });

export const confirm = async (title: string, text: string | undefined, action: string): Promise<boolean> =>
  (await ask({ title, text, action })) !== null;

export const askText = (title: string, label: string, value: string, action: string, long = false) =>
  ask({ title, label, value, action, long });
