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
internal static class VictimHelp
{
    public static readonly IReadOnlyList<VictimAction> Actions =
    [
        new("quiet", false, "tietovuotoapu.fi"),
        new("police", true, "poliisi.fi") { TellsKinds = true },
        new("credit", true, "positiivinenluottotietorekisteri.fi", "asiakastieto.fi", "dnb.com"),
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
