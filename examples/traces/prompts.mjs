// The prompts of the recorded trace, and the two ways in which they are broken. Everything here was written for this
// trace; nothing is taken from a data set. The order is a seeded shuffle, so that every kind of prompt is spread over
// the whole recording and a phase differs from the others in how the model was called, not in what it was asked.

/** Numbers from 0 up to 1, seeded (mulberry32): recording again asks the same questions in the same order. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A shuffled copy (Fisher-Yates). */
export function shuffled(items, random) {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}

const words = (text) => text.trim().split(/\s*,\s*/);
/**
 * A chat request that shows worked examples before it asks: without them a model of this size rambles. Further keys
 * of the request, such as `response_format`, go into `settings`.
 */
const asker =
  (examples, settings = {}) =>
  (content) => ({
    messages: [
      ...examples.flatMap(([question, answer]) => [
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ]),
      { role: "user", content },
    ],
    ...settings,
  });

const capitals =
  words(`France, Italy, Spain, Germany, Japan, China, Egypt, Canada, Norway, Sweden, Finland, Denmark, Poland,
  Austria, Greece, Portugal, Ireland, Hungary, Russia, India, Kenya, Cuba, Peru, Chile, Argentina, Mexico, Thailand,
  Vietnam, Turkey, Iran, Iraq, Nepal, Belgium, Romania, Bulgaria, Iceland`)
    .map((country) => `What is the capital of ${country}?`)
    .map(asker([["What is the capital of the Netherlands?", "The capital of the Netherlands is Amsterdam."]]));

const continents =
  words(`France, Italy, Spain, Japan, China, Egypt, Canada, Norway, Poland, Greece, India, Kenya, Peru, Chile,
  Argentina, Nigeria, Thailand, Vietnam, Nepal, Belgium, Ghana, Portugal, Ethiopia, Iceland`)
    .map((country) => `On which continent is ${country}?`)
    .map(asker([["On which continent is Brazil?", "Brazil is in South America."]]));

const definitions =
  words(`a glacier, a volcano, gravity, photosynthesis, a thermometer, an island, a desert, evaporation,
  an earthquake, a telescope, a microscope, a bridge, a library, a battery, a compass, democracy, inflation, friction,
  an atom, a planet, the moon, a rainbow, a recipe, a dictionary, oxygen, a vaccine, a peninsula, a harbour, a magnet,
  a calendar, a fossil, a reptile, a triangle, an ecosystem, a bicycle, a lighthouse`)
    .map((thing) => `In one short sentence, what is ${thing}?`)
    .map(asker([["In one short sentence, what is a clock?", "A clock is an instrument that shows the time."]]));

const lists =
  words(`fruits, vegetables, colours, animals that live in the sea, farm animals, musical instruments, planets,
  oceans, continents, kinds of weather, kitchen tools, garden tools, sports, kinds of bread, trees, flowers, insects, birds,
  rooms of a house, pieces of furniture, days of the week, months of the year, languages, metals, gases, shapes,
  school subjects, means of transport, things to take on a picnic, things to pack for a rainy day, healthy breakfasts,
  ways to save water, ways to save electricity, hobbies, drinks, spices`)
    .map((kind) => `List three ${kind}. Give only the list.`)
    .map(asker([["List three tools. Give only the list.", "1. Hammer\n2. Saw\n3. Screwdriver"]]));

const reasons = words(`the sky blue, sleep important, the sea salty, exercise good for you, the Sun hot, ice slippery,
  water important for plants, reading useful, teamwork important, breakfast important, recycling important, it dark at night,
  clean water important, a balanced diet important, honesty important, snow white, fresh air good for you, soap useful,
  grass green, music relaxing, practice important, metal cold to the touch, the Amazon rainforest important, salt added to food`)
  .map((fact) => `Why is ${fact}? Answer in one sentence.`)
  .map(
    asker([
      [
        "Why is washing your hands important? Answer in one sentence.",
        "Washing your hands is important because it removes germs that can make you ill.",
      ],
    ]),
  );

const opposites = words(
  `hot, big, fast, happy, light, early, open, strong, rich, old, full, clean, loud, near, high, easy, wet, hard`,
)
  .map((word) => `What is the opposite of "${word}"?`)
  .map(asker([['What is the opposite of "left"?', 'The opposite of "left" is "right".']]));

const plurals =
  words(`child, mouse, foot, tooth, woman, man, goose, city, baby, knife, leaf, box, bus, dish, church, tomato,
  potato, country, wolf, shelf, story, watch, glass, toy`)
    .map((word) => `What is the plural of "${word}"?`)
    .map(asker([['What is the plural of "house"?', 'The plural of "house" is "houses".']]));

const colours =
  words(`a ripe banana, fresh snow, the sky on a clear day, coal, grass, a ripe tomato, an orange, milk, blood,
  a lemon, a ripe strawberry, an emerald, a ruby, a polar bear, a crow, a carrot, chocolate, an elephant, a sunflower, spinach`)
    .map((thing) => `What colour is ${thing}?`)
    .map(asker([["What colour is a fire engine?", "A fire engine is red."]]));

const rewriting = [
  "He cooks dinner for his family.",
  "We watch a film at home.",
  "The dog barks at the postman.",
  "I open the window.",
  "They visit their aunt in Leeds.",
  "She paints the old fence.",
  "The train arrives at noon.",
  "You help me with my homework.",
  "The children laugh at the clown.",
  "My father repairs the roof.",
  "The cat jumps over the wall.",
  "We walk along the river.",
  "The baker closes the shop early.",
  "She answers the phone.",
  "The rain stops in the evening.",
  "I clean my room on Sunday.",
  "They travel by bus.",
  "He listens to the radio.",
  "The nurse washes her hands.",
  "We plant three apple trees.",
]
  .map((sentence) => `Put this sentence into the past tense: ${sentence}`)
  .map(
    asker([
      ["Put this sentence into the past tense: She walks to school.", "She walked to school."],
      ["Put this sentence into the past tense: They play in the garden.", "They played in the garden."],
    ]),
  );

const json = [
  ["Anna", "Rome"],
  ["Peter", "Berlin"],
  ["Maria", "Lisbon"],
  ["James", "Dublin"],
  ["Sofia", "Athens"],
  ["Omar", "Cairo"],
  ["Mei", "Beijing"],
  ["Lucas", "Paris"],
  ["Nina", "Vienna"],
  ["David", "Boston"],
  ["Emma", "Chicago"],
  ["Ivan", "Moscow"],
  ["Laura", "Madrid"],
  ["Samuel", "Nairobi"],
  ["Julia", "Warsaw"],
  ["Henry", "London"],
  ["Elena", "Lima"],
  ["Oscar", "Stockholm"],
  ["Grace", "Toronto"],
  ["Felix", "Zurich"],
]
  .map(([name, city]) => `Give a JSON object with the keys "name" and "city" for: ${name} lives in ${city}.`)
  .map(
    asker(
      [
        [
          'Give a JSON object with the keys "name" and "city" for: Tom lives in Oslo.',
          '{"name": "Tom", "city": "Oslo"}',
        ],
      ],
      { response_format: { type: "json_object" } },
    ),
  );

// Short notes with a question about them: what an assistant over somebody's documents is asked all day.
const askAboutNote = asker([
  [
    "The museum is on King Street. It opens at noon and is free for children. When does the museum open?",
    "It opens at noon.",
  ],
  [
    "The bus to Hull leaves from stop B. It takes two hours and costs nine pounds. Where does the bus leave?",
    "It leaves from stop B.",
  ],
]);

/** Every row of a table as a note, with each question about the row's first item behind it. */
const asked = (rows, note, questions) =>
  rows.flatMap((row) => questions.map((question) => `${note(...row)} ${question(row[0])}`));

const shops = asked(
  [
    ["bakery", "Mill Street", "seven", "rye bread"],
    ["bookshop", "Castle Road", "nine", "old maps"],
    ["pharmacy", "Station Square", "eight", "cough syrup"],
    ["florist", "Park Lane", "ten", "white roses"],
    ["toy shop", "Bridge Street", "eleven", "wooden trains"],
    ["bicycle shop", "Harbour Road", "nine", "second-hand bikes"],
    ["tea shop", "Church Lane", "eight", "green tea"],
    ["cheese shop", "Market Square", "ten", "goat cheese"],
    ["hardware shop", "Long Street", "seven", "garden tools"],
    ["music shop", "Hill Road", "eleven", "used guitars"],
  ],
  (kind, street, hour, goods) =>
    `The ${kind} is on ${street}. It opens at ${hour} in the morning and is closed on Sundays. It is known for its ${goods}.`,
  [
    (kind) => `On which street is the ${kind}?`,
    (kind) => `When does the ${kind} open?`,
    (kind) => `What is the ${kind} known for?`,
  ],
);
const people = asked(
  [
    ["Clara", "nurse", "Bristol", "two brothers", "tennis"],
    ["Daniel", "teacher", "York", "one sister", "chess"],
    ["Ruth", "pilot", "Glasgow", "three cats", "painting"],
    ["Victor", "carpenter", "Oxford", "two dogs", "fishing"],
    ["Helen", "doctor", "Cardiff", "twin sons", "swimming"],
    ["Martin", "farmer", "Dorset", "forty cows", "singing"],
    ["Alice", "lawyer", "Leeds", "a black horse", "running"],
    ["George", "cook", "Bath", "four children", "cycling"],
    ["Irene", "baker", "Derby", "a parrot", "dancing"],
    ["Paul", "gardener", "Kent", "five hens", "reading"],
  ],
  (name, job, town, has, hobby) =>
    `${name} works as a ${job} in ${town}. ${name} has ${has}. At the weekend ${name} likes ${hobby}.`,
  [
    (name) => `What is ${name}'s job?`,
    (name) => `Where does ${name} work?`,
    (name) => `What does ${name} like at the weekend?`,
  ],
);
const meetings = asked(
  [
    ["budget", "Monday", "room 4", "Mrs Hall"],
    ["safety", "Tuesday", "the canteen", "Mr Reed"],
    ["hiring", "Wednesday", "room 12", "Ms Stone"],
    ["design", "Thursday", "the library", "Mr Fox"],
    ["sales", "Friday", "room 7", "Mrs Lane"],
    ["garden", "Saturday", "the old barn", "Mr Webb"],
    ["training", "Monday", "the main hall", "Ms Park"],
    ["website", "Thursday", "room 2", "Mr Shaw"],
  ],
  (topic, day, room, lead) =>
    `The ${topic} meeting is on ${day} in ${room}. It is led by ${lead} and lasts one hour. Please bring a pen and paper.`,
  [
    (topic) => `On which day is the ${topic} meeting?`,
    (topic) => `Who leads the ${topic} meeting?`,
    (topic) => `Where is the ${topic} meeting?`,
  ],
);
const parcels = asked(
  [
    ["blue lamp", "Tuesday", "the garage"],
    ["winter coat", "Friday", "the neighbour"],
    ["coffee machine", "Monday", "the front desk"],
    ["garden chair", "Saturday", "the shed"],
    ["set of knives", "Wednesday", "the porch"],
    ["red carpet", "Thursday", "the back door"],
    ["desk fan", "Monday", "the post office"],
    ["pair of boots", "Friday", "the caretaker"],
    ["bread oven", "Tuesday", "the cellar"],
    ["guitar", "Saturday", "the music school"],
    ["wall clock", "Wednesday", "the reception"],
    ["tent", "Thursday", "the camp site"],
  ],
  (thing, day, place) =>
    `Your order, a ${thing}, was sent yesterday. It will arrive on ${day} and will be left at ${place}. There is nothing more to pay.`,
  [
    (thing) => `When will the ${thing} arrive?`,
    (thing) => `Where will the ${thing} be left?`,
  ],
);

/** Every prompt: a chat request without its settings, no two of them alike, in the order of the seeded shuffle. */
export function prompts(seed) {
  const notes = [...shops, ...people, ...meetings, ...parcels].map(askAboutNote);
  const all = [
    capitals,
    continents,
    definitions,
    lists,
    reasons,
    opposites,
    plurals,
    colours,
    rewriting,
    json,
    notes,
  ].flat();
  return shuffled(all, seededRandom(seed));
}

/** Changes the last message, which is the one that asks, and leaves what stands before it. */
function withLastMessage(prompt, change) {
  const messages = prompt.messages.map((message) => ({ ...message }));
  const last = messages[messages.length - 1];
  last.content = change(last.content);
  return { ...prompt, messages };
}

/** As a gateway that cuts the context too short does it: the first two fifths are kept, and the question is lost. */
export function truncatedContext(prompt) {
  return withLastMessage(prompt, (text) => text.slice(0, Math.ceil(text.length * 0.4)).trimEnd());
}

/** As a broken encoder does it: the letters of each word are shuffled, and one in six is another character altogether. */
export function corruptedText(prompt, random) {
  const garbage = "#%&@~^|<>{}[]0123456789qxzjkwQXZJKW";
  const mangle = (word) =>
    shuffled(word, random)
      .map((letter) => (random() < 1 / 6 ? garbage[Math.floor(random() * garbage.length)] : letter))
      .join("");
  return withLastMessage(prompt, (text) => text.split(" ").map(mangle).join(" "));
}
