// Numbers as a person reads them.

// A narrow space between thousands: a comma is a decimal sign to one half of the readers.
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// As the other reports write it: never rounded across the bound of 1.
function ratioText(ratio) {
  if (Number.isNaN(ratio)) return "nan";
  if (ratio === Infinity) return "inf";
  if (ratio === 0) return "0";
  if (ratio < 0.001) return "<.001";
  if (ratio < 0.1) return ratio.toFixed(3);
  if (ratio < 0.995) return ratio.toFixed(2);
  if (ratio <= 1) return Math.min(ratio, ratio < 1 ? 0.99999 : 1).toFixed(5);
  if (ratio < 1.01) return ">1";
  if (ratio < 99.95) return String(Number(ratio.toPrecision(3)));
  if (ratio < 9999.5) return ratio.toFixed(0);
  const exponent = Math.floor(Math.log10(ratio));
  return `${Math.floor(ratio / 10 ** exponent)}e${exponent}`;
}

// Any other number: four digits at most.
function short(value) {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(2).replace("e+", "e");
}

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
}

const SIGN = ["✓", "✗", "?"];
const STATUS_CLASS = ["pass", "fail", "invalid"];
const statusWord = (status) => [word("pass"), word("fail"), word("invalid")][status];
