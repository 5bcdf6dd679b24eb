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
  source?.close();
  const query = new URLSearchParams({ sessionId: session, ...values });
  const item = talk.appendChild(made("li"));
  item.append(made("p", "asked", shown));
  const told = item.appendChild(made("div", "told"));
  follow(new EventSource(`${PATH}${endpoint}?${query}`), item, told);
}

function follow(opened, item, told) {
  source = opened;
  talk.setAttribute("aria-busy", "true");
  say("추천을 쓰고 있어요…");
  opened.addEventListener("challenge", (event) => {
    say("추천을 쓰고 있어요…");
    told.append(JSON.parse(event.data).data);
    item.scrollIntoView({ block: "nearest" });
  });
  opened.addEventListener("close", (event) => {
    end(opened);
    show(JSON.parse(event.data).data, item, told);
  });
  opened.addEventListener("error", (event) => {
    if (event.data) {
      end(opened);
      item.append(made("p", "wrong", JSON.parse(event.data).message));
    } else if (opened.readyState === EventSource.CLOSED) {
      // A refusal: a native EventSource cannot read why.
      end(opened);
      item.append(made("p", "wrong", "추천을 받지 못했어요. 입력을 확인하고 다시 시도해 주세요."));
    } else {
      say("연결이 끊겨 다시 잇고 있어요…");
    }
  });
}

function end(opened) {
  opened.close();
  talk.setAttribute("aria-busy", "false");
  say("");
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

function say(text) {
  byId("status").textContent = text;
}

async function readNote() {
  const { note } = await (await fetch("/ai/chatbot/info")).json();
  byId("note").hidden = !note;
  byId("note").textContent = note ?? "";
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
readNote().catch((error) => say(`서버에 닿지 못했어요: ${error.message}`));
