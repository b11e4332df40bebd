#include "datasets/bpe_vocabulary.hpp"

namespace greta {

// Written for this project. Changing a byte of it changes every synthetic model's vocabulary.
std::string_view bpe_corpus() {
  static constexpr std::string_view kText =
      R"corpus(The harbour wakes before the town does. Long before the sun comes over the hills, the first boats return
with their lights still on, and the people who buy fish for the markets are already waiting on the quay. They talk
about the weather, about prices, about who has married whom, and they drink coffee that is far too hot. When the boats
are tied up, the work begins: the boxes are passed from hand to hand, counted, weighed and written down in a book that
has been kept in the same way for more than a hundred years. Nobody can say why the book is still needed, because every
number is also typed into a computer, but nobody wants to be the one who puts an end to it.

I don't think you'll find a better place to learn how a small town works. It's not that the people here are different;
they're like people everywhere. But they've had to depend on each other, and they can't pretend that they don't. If the
engine of a boat won't start, the neighbour's engine will be lent. "We'd do the same for you," he says, and he's right.
She'd say it too. I've seen it happen more than once, and I'm sure I will see it again.

A measurement is worth nothing without its error. When two instruments disagree, there are three possibilities: the
first is wrong, the second is wrong, or both are. People like to forget the third one. An experiment should be designed
so that each of the possible answers would look different, and so that a broken instrument would be noticed before anybody
draws a conclusion from it. Good engineers write down what they expect before they look at the result. They repeat the
measurement with nothing changed, to learn how large the noise is, and they change one thing at a time. They do not stop
at the first explanation that seems to fit, because there is almost always another one that fits as well.

The computer reads a program one instruction after another, or so we are told. In truth a modern machine does many things
at once: it guesses which way a branch will go, starts work that may have to be thrown away, and keeps the values that it
will need soon close at hand. Memory is slow and arithmetic is fast, so most of the art lies in moving data as little as
possible. A matrix is cut into tiles, every tile is loaded once, and the sums are kept in registers until they are complete.
The order of the additions changes the last digits of the result. That is not a mistake, but it has to be understood: a
small difference may be rounding, and it may also be the first sign of a real problem that will grow with every layer.

A language model predicts the next word from the words that came before. The text is split into tokens, every token becomes
a vector, and the vectors pass through many layers of attention and simple networks. Attention lets each position look back
at the earlier ones and take from them what it needs. At the end there is a score for each token of the vocabulary, and one
of them is chosen. Then the whole thing starts again with one more token. What was computed for the earlier positions is
kept in a cache, so that only the new position has to be worked out.

In the spring we walked to the village on the other side of the mountain. The path goes up through a forest of oak and
pine, crosses a stream on three flat stones, and comes out on a meadow from which you can see the sea on a clear day. An
old woman sold us bread and cheese and asked where we came from. When we told her, she laughed and said that her brother
had gone there forty years ago and had never written a letter. We promised to look for him. Children were playing football
against the wall of the church, and a dog slept in the middle of the road, knowing that no car would come before evening.

History is mostly made of letters, bills and lists. Kings and battles fill the books, but if you want to know how people
lived you must read what they bought, what they owed, and what they were afraid of. A merchant of the sixteenth century
writes to his wife that the price of pepper has fallen again, that the winter is hard, and that he hopes to be home by
Easter. We know from another paper, found three hundred years later, that he was.

Water boils at 100 degrees at sea level, at 95 degrees in a town at 1500 metres, and at about 71 degrees on the top of the
highest mountain. A train that leaves at 09:45 and travels 320 kilometres at 80 kilometres per hour arrives at 13:45. There
are 365 days in a year, 24 hours in a day, 60 minutes in an hour, and 86400 seconds in a day. 1, 2, 3, 5, 8, 13, 21, 34, 55,
89, 144. 3.14159 and 2.71828 are numbers that one learns by heart; 6.02e23, 1e-5 and 0x7fffffff are not. In 1969, 1984, 2001,
2008, 2019 and 2024 there were other things to talk about. 50% of $20.00 is $10.00; 12 + 30 = 42.

Buenos días. La ciudad se despierta despacio y las calles todavía están mojadas por la lluvia de la noche. En la esquina, el
panadero abre la puerta y el olor del pan recién hecho llega hasta la plaza. Los niños van a la escuela con sus mochilas, los
mayores leen el diario en el café y hablan de fútbol, de política y del precio de las cosas. Nadie tiene prisa, o eso parece.
¿Qué vas a hacer mañana? No lo sé todavía. Quiero visitar a mi abuela, que vive cerca del río, y después voy a pasear por el
parque. ¡Qué bien! Ella siempre prepara una comida muy rica y cuenta historias de cuando era joven. El año pasado viajamos
juntos al sur, donde el viento es fuerte y las montañas están cubiertas de nieve. Fue un viaje largo, pero también muy bonito.
Una medición sin su error no vale nada. El informe debe decir qué se midió, cómo se midió y cuánto puede confiar el lector en
el resultado. La prueba se repite antes y después de la corrección, con los mismos datos y en la misma máquina.

The doctor listens first and asks questions afterwards. Where does it hurt, since when, how often, and what makes it worse?
Most illnesses pass by themselves within a fortnight; the difficulty is to recognise the few that won't. She examines the
patient, measures blood pressure and temperature, orders an analysis, and explains plainly what is likely, what is merely
possible, and which treatment she would recommend to her own family. Trust grows slowly and disappears quickly.

Music follows rules that everybody hears and hardly anybody could describe. A melody wanders off, hesitates, and finally
comes home; the rhythm underneath keeps walking. Violins, trumpets, drums and voices share twelve notes, yet an orchestra from
Vienna, a tango quintet from Montevideo and a jazz trio from Chicago sound nothing alike. Listen carefully: silence between
two chords belongs to the piece as much as sound does.

Gardens teach patience. Seeds that were planted in October sleep under frost until March; tomatoes demand warmth, potatoes
prefer loose earth, and beans climb whatever stick you offer them. Bees, worms and birds do half of the labour without wages.
Whoever grows vegetables soon develops opinions concerning rain, shade, snails and neighbouring cats.

Astronomers cannot touch what they study. They collect faint light with enormous mirrors, spread it into colours, and deduce
from dark lines which elements burn in a distant star, how rapidly it rotates, and whether planets circle around it. Galaxies
rush away from us, faster the farther they are. Eclipses, comets and meteor showers remain free of charge for everyone who is
willing to stay awake past midnight and bring a blanket.

Good laws are short. Parliament debates them, judges interpret them, police officers enforce them, newspapers criticise them,
and citizens occasionally obey. Economists argue about taxes, wages, inflation, unemployment and international trade; their
forecasts resemble weather reports, except that meteorologists improve.

El mercado abre a las seis. Los vendedores ofrecen manzanas, naranjas, cebollas, queso fresco, aceitunas y flores de todos los
colores; los clientes preguntan, comparan y regatean. Un músico toca la guitarra junto a la fuente mientras dos jubilados
discuten sobre ajedrez. Cuando llega el mediodía, el calor obliga a cerrar las ventanas y la familia entera se reúne alrededor
de la mesa. Por la tarde, los trabajadores regresan cansados, compran medicamentos en la farmacia y esperan el colectivo bajo la sombra.

#include <cstdio>
#include <vector>

// Returns the sum of the products of two vectors.
float dot(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0.0f;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::printf("usage: %s FILE\n", argv[0]);
    return 1;
  }
  return 0;
}

def read_lines(path):
    """Yield the lines of a file without their ends."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")


class Counter:
    def __init__(self, start=0):
        self.value = start

    def add(self, amount):
        self.value += amount
        return self.value

if __name__ == "__main__":
    counter = Counter()
    for line in read_lines("words.txt"):
        counter.add(len(line.split()))
    print(f"{counter.value} words")

{"name": "mini", "layers": 6, "heads": [8, 2], "scale": 0.125, "tied": true, "bias": null}
SELECT name, count(*) FROM words WHERE length > 3 GROUP BY name ORDER BY count(*) DESC;
<html><body><h1>Title</h1><p class="note">Text &amp; more</p></body></html>
cmake --build build -j 2 && ctest --test-dir build --output-on-failure
https://example.org/path/to/page?id=42&lang=en

You are a helpful assistant. Answer the question of the user in one or two short sentences. If you do not know, say so.
What is the capital of France? The capital of France is Paris. What is the capital of Argentina? Buenos Aires, of course.
system
user
assistant
Hi
hi
Hello
hello
Yes
No
please thanks thank you question answer

Der Himmel über dem Fluss wird grau, und die Vögel fliegen nach Süden. Morgen gehen wir früh aus dem Haus, weil der Weg weit ist.
Le chat dort près de la fenêtre; il a l'air d'avoir été là depuis toujours. Où est-ce que tu étais hier soir ?
O rio não é largo, mas a água é fria e ninguém quer atravessar antes do verão.
Быстрая лиса прыгает через ленивую собаку. Сегодня хорошая погода, и мы идём гулять в парк.
Η θάλασσα είναι ήρεμη σήμερα και ο ουρανός είναι γαλανός.
東京は日本の首都です。今日は天気がいいですね。 我们今天去公园散步,明天去图书馆看书。 안녕하세요, 오늘 날씨가 좋습니다.
السلام عليكم، كيف حالك اليوم؟ שלום, מה שלומך היום? नमस्ते, आप कैसे हैं? สวัสดีครับ วันนี้อากาศดี
α + β ≤ γ, ∑ xᵢ² ≈ 1, π/2 → ∞, 20 °C ± 0.5, “quoted”, ‘single’, en–dash, em—dash, … 😀 🚀 ❤️ 👍🏽
)corpus";
  return kText;
}

}  // namespace greta
