// The words of the page. Texts that a run brings along come in both languages in its data (say, in data.js).

const WORDS = JSON.parse(document.getElementById("words").textContent);
let language = (navigator.language || "en").toLowerCase().startsWith("es") ? "es" : "en";

// "{0} of {1}" with what goes into it.
function word(key, ...values) {
  return WORDS[key][language].replace(/\{(\d)\}/g, (_, i) => values[i]);
}

// Elements of page.html name their words: data-word for the text, data-word-label for the accessible name.
function placeWords() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-word-label]"))
    element.setAttribute("aria-label", word(element.dataset.wordLabel));
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
}
