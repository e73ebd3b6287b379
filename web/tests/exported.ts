/** A conversation as ChatGPT exports it, so that an answer holds exactly the given text. */
export function exported(title: string, turns: string[]) {
  const mapping: Record<string, unknown> = { root: { id: 'root', parent: null, children: ['m0'], message: null } };
  turns.forEach((text, index) => {
    mapping[`m${index}`] = {
      id: `m${index}`,
      parent: index === 0 ? 'root' : `m${index - 1}`,
      children: index + 1 < turns.length ? [`m${index + 1}`] : [],
      message: {
        id: `m${index}`,
        author: { role: index % 2 === 0 ? 'user' : 'assistant' },
        create_time: 1_700_000_000 + index,
        content: { content_type: 'text', parts: [text] },
        metadata: {}
      }
    };
  });
  return { title, create_time: 1_700_000_000, update_time: 1_700_000_000, mapping, current_node: `m${turns.length - 1}`, conversation_id: title };
}
