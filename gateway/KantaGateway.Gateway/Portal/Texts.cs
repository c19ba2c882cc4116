using System.Globalization;
using System.Resources;

namespace KantaGateway.Gateway.Portal;

/// <summary>The portal's sentences in the language of the request (Finnish in Texts.resx and those of single parts of the portal in files of their own, each with .sv and .en beside it).</summary>
/// <remarks>A missing sentence is a bug and throws: a citizen must never be shown a key instead of an explanation. A key is in one file. Thread-safe.</remarks>
internal sealed class Texts
{
    /// <summary>One for each file.</summary>
    internal static readonly IReadOnlyList<ResourceManager> Files =
    [
        .. new[] { "Texts", "Texts.Records", "Texts.Apps", "Texts.Download", "Texts.Help", "Texts.Inbox", "Texts.Rectify", "Texts.Operators" }
            .Select(static file => new ResourceManager($"KantaGateway.Gateway.Portal.{file}", typeof(Texts).Assembly)),
    ];

    /// <summary>Languages of the portal, the default first; BCP 47.</summary>
    internal static readonly IReadOnlyList<(string Code, string Name)> Languages = [("fi", "Suomi"), ("sv", "Svenska"), ("en", "English")];

    /// <exception cref="KeyNotFoundException">There is no such sentence.</exception>
    public string this[string key] => Find(key) ?? throw new KeyNotFoundException($"The portal has no text '{key}'.");

    /// <summary>A sentence with numbered places for <paramref name="values"/>, filled in the request's culture.</summary>
    public string this[string key, params object[] values] => string.Format(CultureInfo.CurrentCulture, this[key], values);

    /// <summary>Null when there is no such sentence: for codes from outside, whose list is open.</summary>
    public string? Find(string key)
    {
        foreach (var file in Files)
            if (file.GetString(key, CultureInfo.CurrentUICulture) is { } text)
                return text;
        return null;
    }

    /// <summary>Picks <c>key.one</c> or <c>key.other</c>.</summary>
    public string Count(string key, int count) => this[count == 1 ? $"{key}.one" : $"{key}.other", count];
}
