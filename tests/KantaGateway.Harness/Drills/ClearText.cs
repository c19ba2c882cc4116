using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KantaGateway.Harness.Drills;

/// <summary>Looks for texts in files, in every form in which a careless program leaves them.</summary>
public static class ClearText
{
    // Shorter base64 forms would be found by chance in long random ones.
    private const int ShortestEncoded = 8;

    /// <summary>Places where one of the secrets lies: file, form and number of the secret, never the secret.</summary>
    /// <param name="except">Files that are meant to hold them, by path under the folder.</param>
    public static IReadOnlyList<string> Find(string folder, IReadOnlyList<string> secrets, Func<string, bool>? except = null)
    {
        var forms = secrets.Distinct().SelectMany((s, i) => Forms(s).Select(f => (Name: $"{f.Name} of secret {i}", f.Bytes))).ToList();
        var found = new List<string>();
        foreach (var file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            var relative = Path.GetRelativePath(folder, file);
            // Sockets have no length and nothing to read.
            if (except?.Invoke(relative) == true || new FileInfo(file).Length == 0)
                continue;
            ReadOnlySpan<byte> content = File.ReadAllBytes(file);
            foreach (var (name, bytes) in forms)
                if (content.IndexOf(bytes) >= 0)
                    found.Add($"{relative}: {name}");
        }
        return found;
    }

    /// <summary>Every form of one text that <see cref="Find"/> knows.</summary>
    public static IEnumerable<(string Name, byte[] Bytes)> Forms(string text)
    {
        var utf8 = Encoding.UTF8.GetBytes(text);
        yield return ("UTF-8", utf8);
        yield return ("UTF-16LE", Encoding.Unicode.GetBytes(text));
        yield return ("UTF-16BE", Encoding.BigEndianUnicode.GetBytes(text));
        if (Escaped(text) is var json && json != text)
            yield return ("JSON escapes", Encoding.UTF8.GetBytes(json));
        if (Uri.EscapeDataString(text) is var url && url != text)
            yield return ("URL escapes", Encoding.UTF8.GetBytes(url));
        if (utf8.Length < ShortestEncoded)
            yield break;
        yield return ("hexadecimal", Encoding.ASCII.GetBytes(Convert.ToHexString(utf8)));
        yield return ("hexadecimal", Encoding.ASCII.GetBytes(Convert.ToHexStringLower(utf8)));
        // Inside a longer text the base64 of a part depends on where it begins; its middle has three shapes.
        for (var shift = 0; shift < 3; shift++)
        {
            var padded = new byte[shift + utf8.Length];
            utf8.CopyTo(padded, shift);
            var whole = padded.Length / 3 * 3;
            var middle = Convert.ToBase64String(padded, 0, whole)[(shift == 0 ? 0 : 4)..];
            yield return ("base64", Encoding.ASCII.GetBytes(middle));
            if (middle.AsSpan().ContainsAny('+', '/'))
                yield return ("base64url", Encoding.ASCII.GetBytes(middle.Replace('+', '-').Replace('/', '_')));
        }
    }

    private static string Escaped(string text) => JsonSerializer.Serialize(text, new JsonSerializerOptions { Encoder = JavaScriptEncoder.Default }).Trim('"');
}
