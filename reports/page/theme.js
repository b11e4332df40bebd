// Light and dark: as the system has it, until the reader chooses.

const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let theme = null;  // null: the system's

const isDark = () => (theme ? theme === "dark" : systemDark.matches);

function placeTheme() {
  if (theme) document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.dataset.word = isDark() ? "theme_light" /* word */ : "theme_dark" /* word */;
  button.textContent = word(button.dataset.word);
}
