using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Portal;

/// <summary>Every sentence exists in Finnish, Swedish and English.</summary>
public sealed partial class TextsTests
{
    private static readonly Dictionary<string, Dictionary<string, string>> ByLanguage = new[] { "", "sv", "en" }.ToDictionary(code => code, Read);

    [Theory]
    [InlineData("sv")]
    [InlineData("en")]
    public void A_language_has_the_same_sentences_as_Finnish(string code) =>
        Assert.Equal(ByLanguage[""].Keys.Order(), ByLanguage[code].Keys.Order());

    [Theory]
    [InlineData("sv")]
    [InlineData("en")]
    public void A_translation_has_the_same_places_for_values(string code)
    {
        foreach (var (key, finnish) in ByLanguage[""])
            Assert.Equal((key, Places(finnish)), (key, Places(ByLanguage[code][key])));
    }

    [Fact]
    public void No_sentence_is_empty() =>
        Assert.DoesNotContain(ByLanguage.Values.SelectMany(t => t.Values), string.IsNullOrWhiteSpace);

    [Fact]
    public void Every_key_that_the_pages_name_exists()
    {
        var named = Directory.EnumerateFiles(Path.Combine(Solution.Folder, "gateway/KantaGateway.Gateway/Portal"), "*.cs*", SearchOption.AllDirectories)
            .SelectMany(file => Named().Matches(File.ReadAllText(file)).Select(m => m.Groups[1].Value));
        Assert.Equal([], named.Distinct().Except(ByLanguage[""].Keys));
    }

    [Fact]
    public void Every_notice_has_its_sentences() =>
        Assert.Equal([], Notices.Codes.SelectMany(code => (string[])[$"notice.{code}", $"notice.{code}.title"]).Except(ByLanguage[""].Keys));

    /// <summary>Act 703/2023 §58: a permission rests on the informing in force, so nobody may have been informed with other words under the same version.</summary>
    [Fact]
    public void The_informing_text_changes_with_its_version_only()
    {
        var said = ByLanguage.OrderBy(t => t.Key, StringComparer.Ordinal).SelectMany(language => language.Value.Where(t => t.Key.StartsWith("inform.", StringComparison.Ordinal) && !t.Key.StartsWith("inform.error.", StringComparison.Ordinal))
            .OrderBy(t => t.Key, StringComparer.Ordinal).Select(t => $"{language.Key} {t.Key} {t.Value}"));
        // Another text needs another version: then both change here.
        Assert.Equal(("2026-2", "855e0ef464e71d9a"),
            (Informing.CurrentTextVersion, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', said))))[..16]));
    }

    /// <summary>Numbers that were looked up (<see cref="VictimHelp"/>), and none that nobody has.</summary>
    [Fact]
    public void Whoever_needs_help_is_given_no_telephone_number_that_was_not_looked_up()
    {
        var given = ByLanguage.SelectMany(static language => language.Value.Where(static t => t.Key.StartsWith("breach.", StringComparison.Ordinal) || t.Key.StartsWith("letter.", StringComparison.Ordinal)))
            .SelectMany(static t => Telephone().Matches(t.Value).Select(static m => m.Value));
        Assert.Equal(["09 2525 0111", "09 2525 0112", "09 2525 0116", "112", "116 006"], given.Distinct().Order(StringComparer.Ordinal));
    }

    private static string Places(string text) => string.Join(' ', Place().Matches(text).Select(m => m.Value).Distinct().Order());

    /// <summary>The sentences of all files; a key in two of them would hide one.</summary>
    private static Dictionary<string, string> Read(string code) => Texts.Files.SelectMany(file =>
        (file.GetResourceSet(code.Length == 0 ? CultureInfo.InvariantCulture : new CultureInfo(code), createIfNotExists: true, tryParents: false)
            ?? throw new InvalidOperationException($"{file.BaseName} has no texts in '{code}'.")).Cast<System.Collections.DictionaryEntry>())
        .ToDictionary(e => (string)e.Key, e => (string)e.Value!);

    /// <summary>A key written whole: in the texts' indexer, or as one of the keys that pages hand on.</summary>
    [GeneratedRegex("""(?:\bT|texts)\["([a-z0-9.-]+)"[\],]""", RegexOptions.IgnoreCase)]
    private static partial Regex Named();

    [GeneratedRegex(@"(?<![\d./§{])(?:\+?\d[\d ]{4,}\d|112)(?![\d/])")]
    private static partial Regex Telephone();

    [GeneratedRegex(@"\{\d\}")]
    private static partial Regex Place();
}
