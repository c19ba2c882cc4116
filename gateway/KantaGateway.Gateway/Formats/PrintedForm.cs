using System.Globalization;
using System.Text;
using PdfSharp.Drawing;
using PdfSharp.Fonts;
using PdfSharp.Pdf;

namespace KantaGateway.Gateway.Formats;

/// <summary>A form as PDF: a title, and labels with what is said under each. One font, which is embedded, so that it prints the same everywhere.</summary>
internal static class PrintedForm
{
    private const double Margin = 56, Width = 483, Bottom = 786, LineHeight = 1.35;

    /// <summary>Letters of what has no blank, after which a line may end.</summary>
    private const int LongestWord = 40;

    /// <summary>Where the font lacks a character.</summary>
    private const string Lacking = "□";

    private static readonly Lock Writing = new();

    static PrintedForm() => GlobalFontSettings.FontResolver ??= new OwnFont();

    /// <param name="fields">Values may have line breaks.</param>
    /// <param name="ifLacking">Said at the end where the font lacks a character of what was to be printed; null: nothing.</param>
    public static byte[] Write(string title, IEnumerable<(string Label, string Value)> fields, string? ifLacking = null)
    {
        // The library shares its fonts between documents without a lock of its own.
        lock (Writing)
        {
            using var document = new PdfDocument();
            document.Info.Title = title;
            var page = new Sheet(document);
            page.Write(title, 16);
            foreach (var (label, value) in fields)
            {
                page.Write(label, 9);
                page.Write(value, 11);
                page.Skip(6);
            }
            if (page.Lacks && ifLacking is not null)
                page.Write(ifLacking, 9);
            page.Dispose();
            using var pdf = new MemoryStream();
            document.Save(pdf);
            return pdf.ToArray();
        }
    }

    /// <summary>Where the next line goes; a full page is followed by another one.</summary>
    private sealed class Sheet(PdfDocument document) : IDisposable
    {
        private readonly Dictionary<double, XFont> _fonts = [];
        private readonly Dictionary<(double Size, string Word), double> _widths = [];
        private XGraphics _page = XGraphics.FromPdfPage(document.AddPage());
        private double _y = Margin;

        /// <summary>Whether something could not be printed.</summary>
        public bool Lacks { get; private set; }

        public void Write(string text, double size)
        {
            if (!_fonts.TryGetValue(size, out var font))
                _fonts[size] = font = new(OwnFont.Name, size);
            foreach (var paragraph in text.ReplaceLineEndings("\n").Split('\n'))
                foreach (var line in Lines(Printable(paragraph, font), font))
                {
                    if (_y + size * LineHeight > Bottom)
                    {
                        _page.Dispose();
                        _page = XGraphics.FromPdfPage(document.AddPage());
                        _y = Margin;
                    }
                    _y += size * LineHeight;
                    _page.DrawString(line, font, XBrushes.Black, Margin, _y);
                }
        }

        public void Skip(double points) => _y += points;

        public void Dispose() => _page.Dispose();

        /// <summary>With a sign for each character that the font lacks; what shows nothing by itself is left out.</summary>
        private string Printable(string text, XFont font)
        {
            var printable = new StringBuilder(text.Length);
            foreach (var rune in text.EnumerateRunes())
                if (Rune.IsWhiteSpace(rune))
                    printable.Append(' ');
                else if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format)
                    continue;
                else if (GlyphHelper.GlyphIndexFromCodePoint(rune.Value, font) != 0)
                    printable.Append(rune);
                else
                {
                    printable.Append(Lacking);
                    Lacks = true;
                }
            return printable.ToString();
        }

        private List<string> Lines(string paragraph, XFont font)
        {
            var (lines, line, width, blank) = (new List<string>(), new StringBuilder(), 0d, WidthOf(" ", font));
            foreach (var word in paragraph.Split(' ').SelectMany(Broken))
            {
                var its = WidthOf(word, font);
                if (line.Length > 0 && width + blank + its > Width)
                {
                    lines.Add(line.ToString());
                    line.Clear();
                    width = 0;
                }
                if (line.Length > 0)
                {
                    line.Append(' ');
                    width += blank;
                }
                line.Append(word);
                width += its;
            }
            lines.Add(line.ToString());
            return lines;
        }

        private double WidthOf(string word, XFont font)
        {
            if (!_widths.TryGetValue((font.Size, word), out var width))
                _widths[(font.Size, word)] = width = _page.MeasureString(word, font).Width;
            return width;
        }

        /// <summary>A word in pieces that fit on a line; never within a character.</summary>
        private static IEnumerable<string> Broken(string word)
        {
            for (var from = 0; from < word.Length || from == 0;)
            {
                var length = Math.Min(LongestWord, word.Length - from);
                if (from + length < word.Length && char.IsHighSurrogate(word[from + length - 1]))
                    length--;
                yield return word.Substring(from, length);
                if ((from += length) == 0)
                    yield break;
            }
        }
    }

    private sealed class OwnFont : IFontResolver
    {
        public const string Name = "Source Sans 3";

        public byte[]? GetFont(string faceName)
        {
            using var font = typeof(PrintedForm).Assembly.GetManifestResourceStream("source-sans-3.ttf") ?? throw new InvalidOperationException("The font is not there.");
            var bytes = new byte[font.Length];
            font.ReadExactly(bytes);
            return bytes;
        }

        public FontResolverInfo? ResolveTypeface(string familyName, bool bold, bool italic) => new(Name);
    }
}
