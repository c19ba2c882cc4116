namespace KantaGateway.Gateway.Portal;

/// <summary>Something that somebody whose data was taken can do.</summary>
/// <param name="Code">Its texts are <c>breach.do.{code}.title</c> and <c>breach.do.{code}.text</c>.</param>
/// <param name="HasStatement">Whether there is a statement to print, <c>breach.print.{code}.*</c>.</param>
/// <param name="Sites">Where it is done: sites by name, each of an authority or of who keeps the register.</param>
internal sealed record VictimAction(string Code, bool HasStatement, params IReadOnlyList<string> Sites)
{
    /// <summary>Whether its statement says what kinds of data were taken. Who keeps a register of credit or addresses need not know that somebody has been treated.</summary>
    public bool TellsKinds { get; init; }
}

/// <summary>What helps after a theft of data in Finland, in the order in which it helps. Telephone numbers and names stand in the texts.</summary>
/// <remarks>
/// <para>Copies of these public pages were read on 2026-11-30. How old a page is stands with it where it says so; the others have no date. A number that none of them says is not in the texts (<c>TextsTests</c>).</para>
/// <para>116 006: RIKU's release, sttinfo.fi/tiedote/69881300, of May 2020 (calls are free). 09 2525 0111, 0112 (Swedish), 0116 (English) and 112: mieli.fi/helpline; day and night in Finnish: mentalhealth.fi/where-to-go-in-an-emergency.</para>
/// <para>Credit ban, free, and passed on to credit information companies with consent: vero.fi/positiivinenluottotietorekisteri, "Vapaaehtoinen luottokielto" and "Vapaaehtoisen luottokiellon tiedot", which name no company; so the texts name none. Ban in the trade register:
/// prh.fi, "Rekisteröintikiellon ilmoittaneiden rekisterin tietosuojaseloste". Whether the guide of the Digital and Population Data Services Agency is still at tietovuotoapu.fi could not be confirmed; it has been in suomi.fi since 2021.</para>
/// </remarks>
internal static class VictimHelp
{
    public static readonly IReadOnlyList<VictimAction> Actions =
    [
        new("quiet", false, "suomi.fi"),
        new("police", true, "poliisi.fi") { TellsKinds = true },
        new("credit", true, "positiivinenluottotietorekisteri.fi"),
        new("bank", false),
        new("address", true, "dvv.fi"),
        new("move", false, "posti.fi"),
        new("register", true, "prh.fi"),
        new("support", false, "riku.fi", "mieli.fi"),
        new("advice", false, "kyberturvallisuuskeskus.fi"),
        new("rights", true, "tietosuoja.fi") { TellsKinds = true },
    ];

    /// <summary>Paragraphs of a statement.</summary>
    public const int Paragraphs = 3;

    public static VictimAction? Find(string? code) => Actions.FirstOrDefault(action => action.Code == code);
}
