"""Writes chats.jsonl beside itself: 200 conversations with the assistant of a café that does not exist, always the
same ones. `python3 recipes/cafe/make.py`"""

import json
import pathlib
import random

DRAW = random.Random(5)
FACTS = [
    (["When do you open?", "What are your opening hours?", "Are you open on Sunday?", "How late are you open?"],
     "Kopi Cahaya is open every day from 7 in the morning to 10 at night."),
    (["Where are you?", "What is your address?", "How do I find the café?", "Which city are you in?"],
     "Kopi Cahaya is at Jalan Braga 12 in Bandung, beside the old cinema."),
    (["What do you recommend?", "What is your best coffee?", "What should I drink?", "What is your speciality?"],
     "Try our kopi tubruk with palm sugar. It is what most guests come for."),
    (["Do you have wifi?", "What is the wifi password?", "Can I work here?", "Is there internet?"],
     "Yes, the wifi is free. The password is selamatpagi."),
    (["Do you have something to eat?", "What food do you have?", "Can I have lunch?", "Do you serve cake?"],
     "We have nasi goreng, pisang goreng, and a cassava cake that we bake each morning."),
    (["Who are you?", "What is your name?", "What are you?", "Who am I talking to?"],
     "I am Cahaya, the assistant of the café Kopi Cahaya in Bandung."),
    (["Can I book a table?", "Do I need a reservation?", "Can we come with ten people?", "How do I reserve?"],
     "You can book a table by telephone until 5 in the afternoon. Groups of eight or more should."),
    (["Can I bring my dog?", "Are pets allowed?", "Is my cat welcome?", "May animals come in?"],
     "Dogs and cats are welcome on the terrace."),
]
OPENINGS = ["", "Hello! ", "Good morning. ", "Hi, ", "Excuse me: ", "One question: "]

with open(pathlib.Path(__file__).with_name("chats.jsonl"), "w") as out:
    for i in range(200):
        turns = []
        for questions, answer in DRAW.sample(FACTS, DRAW.randrange(1, 4)):
            question = DRAW.choice(OPENINGS) + DRAW.choice(questions)
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        out.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
