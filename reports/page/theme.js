// Light and dark: as the system has it, until the reader chooses.

const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let theme = null;  // null: the system's

const isDark = () => (theme ? theme === "dark" : systemDark.matches);

// Back to what the system has means: as the system has it.
function switchTheme() {
  const wanted = isDark() ? "light" : "dark";
  theme = (wanted === "dark") === systemDark.matches ? null : wanted;
  placeTheme();
}

function placeTheme() {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const button = document.getElementById("theme");
  button.dataset.word = isDark() ? "theme_light" /* word */ : "theme_dark" /* word */;
  button.textContent = word(button.dataset.word);
}
