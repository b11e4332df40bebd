"""A headless Chromium without a network, for the tests and pictures of report.html."""
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service


class Browser:
    def __init__(self):
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US",
                     "--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.look()

    def close(self):
        self.driver.quit()

    def look(self, width=1280, height=900, dark=False, media="screen"):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def open(self, path):
        self.driver.get_log("browser")  # what an earlier page said
        self.driver.get(f"file://{path}")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def log(self):
        return [line["message"] for line in self.driver.get_log("browser")]

    def select(self, name, value):
        self.js("const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'));", name, value)
        assert self.js("return document.getElementById(arguments[0]).value", name) == value, f"selector {name} has no '{value}'"

    def click(self, css):
        self.js("document.querySelector(arguments[0]).click()", css)

    def type(self, css, text):
        self.js("const i = document.querySelector(arguments[0]); i.value = arguments[1]; i.dispatchEvent(new Event('input'));", css, text)

    def texts(self, css):
        return self.js("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", css)
