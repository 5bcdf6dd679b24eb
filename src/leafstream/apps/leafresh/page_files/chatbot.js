// The chatbot's page, on a native EventSource: it reads the events by their names, appends what
// `challenge` brings, and closes on `close` and on `error`, as every client of Leafresh does.

const CATEGORIES = [
  "제로웨이스트", "플로깅", "탄소발자국", "에너지 절약", "업사이클", "문화 공유", "디지털 탄소", "비건",
];
const PATH = "/ai/chatbot/recommendation/";

const byId = (id) => document.getElementById(id);
const talk = byId("talk");
const session = sessionId();
let source = null;

/** One session for as long as this tab lives, a reload included. */
function sessionId() {
  let id = sessionStorage.getItem("leafresh.session");
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("leafresh.session", id);
  }
  return id;
}

/** An element with a class and a text. */
function made(tag, name = "", text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function ask(endpoint, values, shown) {
  leave();
  const query = new URLSearchParams({ sessionId: session, ...values });
  const item = talk.appendChild(made("li"));
  item.append(made("p", "asked", shown));
  const told = item.appendChild(made("div", "told"));
  const status = item.appendChild(made("p", "status"));
  item.dataset.busy = "";
  say("추천을 준비하고 있어요", status);
  item.scrollIntoView({ block: "start" });
  follow(new EventSource(`${PATH}${endpoint}?${query}`), item, told, status);
}

/** A new question ends the reading of the answer before it. */
function leave() {
  const item = talk.querySelector("[data-busy]");
  if (item) end(source, item, "새 질문을 해서 여기까지만 받았어요.");
}

function follow(opened, item, told, status) {
  source = opened;
  talk.setAttribute("aria-busy", "true");
  opened.addEventListener("challenge", (event) => {
    say("추천을 쓰고 있어요", status);
    told.append(JSON.parse(event.data).data);
    if (isAtEnd(item)) item.scrollIntoView({ block: "nearest" });
  });
  opened.addEventListener("close", (event) => {
    end(opened, item);
    show(JSON.parse(event.data).data, item, told);
  });
  opened.addEventListener("error", (event) => {
    if (event.data) fail(opened, item, JSON.parse(event.data).message);
    // A refusal: a native EventSource cannot read why.
    else if (opened.readyState === EventSource.CLOSED)
      fail(opened, item, "추천을 받지 못했어요. 입력을 확인하고 다시 시도해 주세요.");
    else say("연결이 끊겨 다시 잇고 있어요", status);
  });
}

/** Whether the reader looks at the end of an answer, and has not scrolled up to read. */
function isAtEnd(item) {
  return item.getBoundingClientRect().bottom - innerHeight < 160;
}

function end(opened, item, said = "") {
  opened.close();
  talk.setAttribute("aria-busy", "false");
  delete item.dataset.busy;
  const status = item.querySelector(".status");
  if (!said) status.remove();
  say(said, said ? status : null);
}

function fail(opened, item, message) {
  end(opened, item);
  item.append(made("p", "wrong", message));
  item.scrollIntoView({ block: "nearest" });
}

/** The whole answer: the streamed text gives way to the sentence and its cards. */
function show(answer, item, told) {
  told.textContent = answer.recommend;
  if (!answer.challenges) return;
  const cards = item.appendChild(made("div", "cards"));
  for (const challenge of answer.challenges) {
    const card = cards.appendChild(made("article"));
    card.append(
      made("h3", "", challenge.title),
      made("p", "", challenge.description),
      made("small", "", challenge.label),
    );
  }
}

/** Shows how far an answer is, beside it, and tells a screen reader. */
function say(text, shown = null) {
  if (shown) shown.textContent = text;
  if (byId("status").textContent !== text) byId("status").textContent = text;
}

async function readNote() {
  const { note } = await (await fetch("/ai/chatbot/info")).json();
  tell(note ?? "");
}

/** Something to know before the first question, and the setting that it names on a line of its own. */
function tell(note) {
  const [said, setting] = note.split(/(LEAFSTREAM_MODEL=\S+)/);
  byId("note").hidden = !note;
  byId("note").replaceChildren(said, ...(setting ? [made("code", "", setting)] : []));
}

function choices() {
  for (const [number, label] of CATEGORIES.entries()) {
    const choice = made("label");
    const input = made("input");
    Object.assign(input, { type: "radio", name: "category", value: label, checked: !number });
    choice.append(input, label);
    byId("categories").append(choice);
  }
}

byId("base-info").addEventListener("submit", (event) => {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(event.target));
  ask("base-info", values, `${values.location} · ${values.workType} · ${values.category}`);
});

byId("free-text").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = byId("message").value.trim();
  ask("free-text", { message }, message);
  event.target.reset();
});

choices();
readNote().catch(() => tell("서버에 닿지 못했어요. 서버가 켜져 있는지 확인하고 다시 열어 주세요."));
