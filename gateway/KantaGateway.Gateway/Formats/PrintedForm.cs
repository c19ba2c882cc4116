using System.Text;
using PdfSharp.Drawing;
using PdfSharp.Fonts;
using PdfSharp.Pdf;

namespace KantaGateway.Gateway.Formats;

/// <summary>A form as PDF: a title, and labels with what is said under each. One font, which is embedded, so that it prints the same everywhere.</summary>
internal static class PrintedForm
{
    private const double Margin = 56, Width = 483, Bottom = 786, LineHeight = 1.35;

    private static readonly Lock Writing = new();

    static PrintedForm() => GlobalFontSettings.FontResolver ??= new OwnFont();

    /// <param name="fields">Values may have line breaks.</param>
    public static byte[] Write(string title, IReadOnlyList<(string Label, string Value)> fields)
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
            page.Dispose();
            using var pdf = new MemoryStream();
            document.Save(pdf);
            return pdf.ToArray();
        }
    }

    /// <summary>Where the next line goes; a full page is followed by another one.</summary>
    private sealed class Sheet(PdfDocument document) : IDisposable
    {
        private XGraphics _page = XGraphics.FromPdfPage(document.AddPage());
        private double _y = Margin;

        public void Write(string text, double size)
        {
            var font = new XFont(OwnFont.Name, size);
            foreach (var paragraph in text.ReplaceLineEndings("\n").Split('\n'))
                foreach (var line in Lines(paragraph, font))
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

        private List<string> Lines(string paragraph, XFont font)
        {
            var (lines, line) = (new List<string>(), new StringBuilder());
            foreach (var word in paragraph.Split(' ').SelectMany(static word => word.Chunk(60)))
            {
                var longer = line.Length == 0 ? new string(word) : $"{line} {new string(word)}";
                if (line.Length > 0 && _page.MeasureString(longer, font).Width > Width)
                {
                    lines.Add(line.ToString());
                    line.Clear().Append(word);
                }
                else
                    line.Clear().Append(longer);
            }
            lines.Add(line.ToString());
            return lines;
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
