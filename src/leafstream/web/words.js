/** Everything the page says, in every language it speaks. */

import { forEver } from "./kept.js";

const ENGLISH = {
  skip: "Skip to the question",
  menu: "Menu",
  close: "Close",
  assistants: "Assistants",
  conversations: "Conversations",
  no_conversations: "None yet. A chat is kept here.",
  new_conversation: "New conversation",
  untitled: "Untitled",
  rename: "Rename {title}",
  remove: "Delete {title}",
  remove_sure: "Delete for good?",
  yes_remove: "Delete",
  keep: "Keep",
  title_of: "Title",
  light: "Use light colours",
  dark: "Use dark colours",
  language: "Language",
  serving: "{model} · context of {window} tokens",
  tiny: "This is the tiny default model. It has 135 million parameters, writes simple English, often nonsense, and no Korean. It is here so that everything works at once; for real answers start the server with a better one:",
  copy: "Copy",
  copied: "Copied",
  not_copied: "Not allowed here",
  ask: "Ask",
  send: "Send",
  message: "Write a message",
  optional: "optional",
  example: "e.g. {example}",
  choose: "Choose one",
  add: "Add to {name}",
  add_short: "Add",
  take_away: "Remove {name} {number}",
  settings: "Settings",
  max_tokens: "Longest answer, in tokens",
  max_tokens_hint: "Empty: all the room there is. A short limit shows how an answer lands.",
  seed: "Seed",
  seed_hint: "The same number gives the same answer again.",
  need: "Please fill this in.",
  need_choice: "Please choose one.",
  too_short: "At least {least} characters, please.",
  too_low: "At least {least}, please.",
  too_high: "At most {most}, please.",
  not_a_number: "This is not a number.",
  not_whole: "A whole number, please.",
  not_json: "This is not valid JSON.",
  you: "You",
  answer: "Answer",
  state_starting: "Waiting for the server",
  state_queued: "In the queue, {position} before you",
  state_reading: "Reading the question",
  state_writing: "Writing",
  state_lost: "Connection lost; going on as soon as it is back",
  state_complete: "Complete",
  state_cut: "Cut short, and still a valid answer",
  state_cancelled: "Stopped",
  state_failed: "This did not work",
  said_started: "The answer begins.",
  said_item: "{name} {number} is there.",
  said_end: "The answer has ended: {state}.",
  why_length: "The limit of {max} tokens was reached.",
  why_runaway: "The model went in circles and was stopped.",
  why_stop: "The model stopped in the middle.",
  cut_fields: "Shorter than meant: {fields}.",
  missing_fields: "Filled in to be valid: {fields}.",
  whole_answer: "the whole text",
  tokens: "{tokens} tokens",
  seconds: "{seconds} s",
  speed: "{speed} tokens/s",
  about_speed: "about {speed} tokens/s",
  first_token: "first token after {seconds} s",
  plan: "{prompt} tokens of question, room for {room}, in a context of {window}.",
  plan_cached: "{cached} of the question were known already.",
  plan_clamped: "{wanted} tokens were asked for; there was room for {room}.",
  plan_tightened: "The room is small, so these fields were kept short from the start: {fields}.",
  notice_trimmed: "The oldest {dropped} turns no longer fit and were left out.",
  notice_continued: "The engine stopped early; the text went on from there.",
  notice_runaway_stopped: "The model went in circles and was stopped.",
  notice_retried: "A part was not valid and was written again.",
  notice_taken_over: "Another process went on with the answer.",
  notice_repaired: "The model's text was mended.",
  stop: "Stop",
  again: "Ask again",
  copy_answer: "Copy as JSON",
  copy_text: "Copy",
  events: "Events",
  events_more: "The first {count} are not shown.",
  events_before: "What made the answer up to event {number} came before the page was loaded again.",
  true: "yes",
  false: "no",
  null: "–",
  sources: "Found for this question",
  key_title: "This server asks for a key",
  key_label: "API key",
  key_hint: "Kept in this tab only, and sent to this server only.",
  key_use: "Use this key",
  key_wrong: "The server does not know this key.",
  not_served: "{name} is not served here any more. You can read what was said; it cannot go on.",
  no_assistant: "There is no assistant {name} here.",
  gone_answer: "That answer is kept no longer.",
  gone_conversation: "There is no such conversation any more.",
  cancelled_unread: "Nobody read it for a while, so the server ended it.",
  cancelled_server: "The server was stopped.",
  error_unreachable: "The server does not answer. Is it running, and are you online?",
  error_overloaded: "The server is busy. Please try again in {seconds} s.",
  error_engine_unavailable: "The model is not there at the moment. Trying again may help.",
  error_engine_failed: "The model failed while it wrote.",
  error_engine_misconfigured: "The server cannot reach its model; whoever runs it has to mend that.",
  error_engine_refused: "The model does not take this request.",
  error_prompt_too_long: "This is too long for the model's context of {context_window} tokens.",
  error_invalid_answer: "The model's answer was not valid for its type.",
  error_invalid_request: "The server does not take this as it is.",
  error_unauthorized: "The server asks for a key.",
  error_forbidden: "The server does not allow this.",
  error_rate_limited: "This key may not ask so often. Please try again in {seconds} s.",
  error_not_found: "There is no such thing on the server.",
  error_conflict: "That is not possible any more.",
  error_body_too_large: "This is too large.",
  error_other: "Something went wrong.",
};

/** @type {typeof ENGLISH} */
const KOREAN = {
  skip: "질문으로 건너뛰기",
  menu: "메뉴",
  close: "닫기",
  assistants: "어시스턴트",
  conversations: "대화",
  no_conversations: "아직 없습니다. 대화를 나누면 여기에 남습니다.",
  new_conversation: "새 대화",
  untitled: "제목 없음",
  rename: "{title} 이름 바꾸기",
  remove: "{title} 삭제",
  remove_sure: "완전히 삭제할까요?",
  yes_remove: "삭제",
  keep: "취소",
  title_of: "제목",
  light: "밝은 색으로 보기",
  dark: "어두운 색으로 보기",
  language: "언어",
  serving: "{model} · 컨텍스트 {window}토큰",
  tiny: "지금은 아주 작은 기본 모델입니다. 매개변수 1억 3,500만 개짜리로, 간단한 영어를 쓰고 엉뚱한 말을 자주 하며 한국어는 쓰지 못합니다. 바로 실행해 볼 수 있도록 넣어 둔 모델이니, 제대로 된 답변을 받으려면 더 좋은 모델로 서버를 시작해 주세요.",
  copy: "복사",
  copied: "복사했습니다",
  not_copied: "복사할 수 없습니다",
  ask: "물어보기",
  send: "보내기",
  message: "메시지를 입력하세요",
  optional: "선택",
  example: "예: {example}",
  choose: "하나를 고르세요",
  add: "{name} 추가",
  add_short: "추가",
  take_away: "{name} {number} 빼기",
  settings: "설정",
  max_tokens: "답변의 최대 길이(토큰)",
  max_tokens_hint:
    "비워 두면 남은 공간을 모두 씁니다. 짧게 정하면 답변이 어떻게 마무리되는지 볼 수 있습니다.",
  seed: "시드",
  seed_hint: "같은 숫자를 넣으면 같은 답변이 다시 나옵니다.",
  need: "입력해 주세요.",
  need_choice: "하나를 골라 주세요.",
  too_short: "{least}자 이상 입력해 주세요.",
  too_low: "{least} 이상이어야 합니다.",
  too_high: "{most} 이하여야 합니다.",
  not_a_number: "숫자가 아닙니다.",
  not_whole: "정수를 입력해 주세요.",
  not_json: "올바른 JSON이 아닙니다.",
  you: "나",
  answer: "답변",
  state_starting: "서버를 기다리는 중",
  state_queued: "대기 중, 앞에 {position}개",
  state_reading: "질문을 읽는 중",
  state_writing: "쓰는 중",
  state_lost: "연결이 끊겼습니다. 돌아오는 대로 이어집니다",
  state_complete: "완료",
  state_cut: "중간에 멈췄지만 올바른 답변입니다",
  state_cancelled: "멈췄습니다",
  state_failed: "답변하지 못했습니다",
  said_started: "답변을 시작합니다.",
  said_item: "{name} {number} 완료.",
  said_end: "답변이 끝났습니다: {state}.",
  why_length: "한도인 {max}토큰에 닿았습니다.",
  why_runaway: "모델이 같은 말을 되풀이해서 멈췄습니다.",
  why_stop: "모델이 중간에 멈췄습니다.",
  cut_fields: "뜻한 것보다 짧은 항목: {fields}.",
  missing_fields: "형식에 맞게 채운 항목: {fields}.",
  whole_answer: "글 전체",
  tokens: "{tokens}토큰",
  seconds: "{seconds}초",
  speed: "초당 {speed}토큰",
  about_speed: "초당 약 {speed}토큰",
  first_token: "첫 토큰까지 {seconds}초",
  plan: "질문 {prompt}토큰, 답변 공간 {room}토큰, 컨텍스트 {window}토큰.",
  plan_cached: "질문 중 {cached}토큰은 이미 읽어 둔 것입니다.",
  plan_clamped: "{wanted}토큰을 요청했지만 공간은 {room}토큰입니다.",
  plan_tightened: "공간이 적어서 처음부터 짧게 쓴 항목: {fields}.",
  notice_trimmed: "가장 오래된 말 {dropped}개는 공간이 모자라 빠졌습니다.",
  notice_continued: "엔진이 일찍 멈춰서 그 자리에서 이어 썼습니다.",
  notice_runaway_stopped: "모델이 같은 말을 되풀이해서 멈췄습니다.",
  notice_retried: "형식에 맞지 않는 부분을 다시 썼습니다.",
  notice_taken_over: "다른 프로세스가 답변을 이어 썼습니다.",
  notice_repaired: "모델이 쓴 글을 바로잡았습니다.",
  stop: "멈추기",
  again: "다시 물어보기",
  copy_answer: "JSON으로 복사",
  copy_text: "복사",
  events: "이벤트",
  events_more: "앞의 {count}개는 표시하지 않습니다.",
  events_before: "{number}번 이벤트까지의 답변 내용은 페이지를 다시 열기 전에 받았습니다.",
  true: "예",
  false: "아니요",
  null: "–",
  sources: "이 질문에서 찾은 글",
  key_title: "키가 필요한 서버입니다",
  key_label: "API 키",
  key_hint: "이 탭에만 보관하고 이 서버에만 보냅니다.",
  key_use: "이 키로 계속하기",
  key_wrong: "서버가 모르는 키입니다.",
  not_served: "{name} 어시스턴트는 더 이상 제공되지 않습니다. 지난 대화는 읽을 수 있지만 이어서 할 수는 없습니다.",
  no_assistant: "{name} 어시스턴트는 없습니다.",
  gone_answer: "그 답변은 더 이상 보관되어 있지 않습니다.",
  gone_conversation: "그 대화는 이제 없습니다.",
  cancelled_unread: "한동안 아무도 읽지 않아 서버가 답변을 끝냈습니다.",
  cancelled_server: "서버가 중지되었습니다.",
  error_unreachable: "서버가 응답하지 않습니다. 서버가 켜져 있는지, 인터넷에 연결되어 있는지 확인해 주세요.",
  error_overloaded: "서버가 바쁩니다. {seconds}초 뒤에 다시 시도해 주세요.",
  error_engine_unavailable: "지금은 모델을 쓸 수 없습니다. 다시 시도해 보세요.",
  error_engine_failed: "모델이 쓰는 도중에 실패했습니다.",
  error_engine_misconfigured: "서버가 모델에 연결되지 않습니다. 운영자가 설정을 고쳐야 합니다.",
  error_engine_refused: "모델이 이 요청을 받지 않습니다.",
  error_prompt_too_long: "모델의 컨텍스트({context_window}토큰)에 비해 너무 깁니다.",
  error_invalid_answer: "모델의 답변이 정해진 형식에 맞지 않습니다.",
  error_invalid_request: "서버가 이 내용을 받지 않습니다.",
  error_unauthorized: "키가 필요한 서버입니다.",
  error_forbidden: "서버가 허용하지 않는 요청입니다.",
  error_rate_limited: "이 키로는 그렇게 자주 물어볼 수 없습니다. {seconds}초 뒤에 다시 시도해 주세요.",
  error_not_found: "서버에 그런 것이 없습니다.",
  error_conflict: "이제는 할 수 없는 일입니다.",
  error_body_too_large: "내용이 너무 큽니다.",
  error_other: "문제가 생겼습니다.",
};

const TEXTS = { en: ENGLISH, ko: KOREAN };

/** @typedef {keyof typeof ENGLISH} Key */
/** @typedef {keyof typeof TEXTS} Language */

/** @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", ko: "한국어" };

/** @returns {Language} */
export function language() {
  const chosen = forEver.get("language") ?? navigator.language.slice(0, 2);
  return chosen === "ko" ? "ko" : "en";
}

/**
 * A text in the reader's language; numbers among the values are written as that language does.
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 */
export function say(key, values = {}) {
  return TEXTS[language()][key].replace(/\{(\w+)\}/g, (_, name) => shown(values[name] ?? ""));
}

/** @param {string} key @returns {key is Key} */
export const isKey = (key) => Object.hasOwn(ENGLISH, key);

/** @param {string | number} value */
const shown = (value) =>
  typeof value === "number" ? new Intl.NumberFormat(language()).format(value) : value;

/** @param {Language} chosen */
export function speak(chosen) {
  forEver.set("language", chosen);
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll("[data-say]")) spoken(element);
}

/**
 * Says a text in an element (or in one of its attributes), again when the language changes.
 * @template {Element} E
 * @param {E} element
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 * @param {string} [attribute]
 */
export function saying(element, key, values = {}, attribute = "") {
  const said = JSON.parse(element.getAttribute("data-say") ?? "{}");
  said[attribute] = [key, values];
  element.setAttribute("data-say", JSON.stringify(said));
  spoken(element);
  return element;
}

/** @param {Element} element */
function spoken(element) {
  for (const [attribute, [key, values]] of Object.entries(
    JSON.parse(element.getAttribute("data-say") ?? "{}"),
  )) {
    if (attribute) element.setAttribute(attribute, say(key, values));
    else element.textContent = say(key, values);
  }
}
