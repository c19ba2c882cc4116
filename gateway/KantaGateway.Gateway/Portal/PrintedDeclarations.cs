using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Gateway.Portal;

/// <summary>A declaration as it is printed.</summary>
/// <param name="Facts">Label and value: what, when, by whom recorded, on which informing, whether in force.</param>
/// <param name="Means">What it covers and what not, and how to revoke it.</param>
internal sealed record PrintedDeclaration(string Id, string Title, IReadOnlyList<(string Label, string Value)> Facts, IReadOnlyList<string> Means);

/// <summary>The printable form of informing, permission and denial (Act 703/2023 §58), on pages, on paper and as the narrative of the Consent.</summary>
internal sealed class PrintedDeclarations(Texts texts, OrganisationNames names)
{
    /// <param name="declaration">An informing, a permission or a denial; anything else has no printed form.</param>
    /// <param name="what">What a denial covers, in words.</param>
    /// <param name="informing">On which it rests: the version of the text; null where that is not known.</param>
    /// <param name="now">UTC.</param>
    /// <param name="holds">Whether it is what holds of the same, see <see cref="DeclarationState.Holds"/>.</param>
    public PrintedDeclaration? Of(Declaration declaration, string? what, string? informing, DateTimeOffset now, bool holds = true)
    {
        var kind = declaration switch { Informing => "informing", DisclosurePermit => "permit", DisclosureDenial => "denial", _ => null };
        if (kind is null)
            return null;
        var denial = declaration as DisclosureDenial;
        return new(declaration.Id, texts[$"print.{kind}"],
            [
                .. Facts(
                    ("print.what", denial is null ? null : what),
                    ("print.emergency", denial is null ? null : texts[denial.AllowsEmergency ? "consent.denial.not-in-emergency" : "consent.denial.in-emergency"]),
                    ("print.when", Dates.Minute(declaration.At)),
                    ("print.recorded", Recorded(declaration)),
                    ("print.period", Period(declaration)),
                    ("print.text", declaration is Informing told ? told.TextVersion : informing),
                    ("print.state", texts[StateOf(declaration, now, holds)]),
                    ("print.id", declaration.Id.Length == 0 ? null : $"Consent/{declaration.Id}")),
            ],
            declaration switch
            {
                Informing => [texts["print.informing.means"]],
                DisclosurePermit => [texts["inform.permit.1"], texts["inform.permit.2"], texts["inform.permit.3"], texts["inform.permit.4"], texts["print.revoke"]],
                _ => [texts["inform.denial.2"], texts["inform.denial.3"], texts["inform.denial.4"], texts["print.revoke"]],
            });
    }

    /// <summary>The same as FHIR narrative (hl7.org/fhir/R4/narrative.html): every system can print it.</summary>
    /// <param name="person">Whose declaration it is; null: not said.</param>
    /// <param name="representative">Who declared it for the person; null: the person.</param>
    public string Narrative(PrintedDeclaration printed, string? person, string? representative)
    {
        var language = CultureInfo.CurrentUICulture.Name;
        var xhtml = new StringBuilder($"<div xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"{language}\" xml:lang=\"{language}\"><h1>{Encode(printed.Title)}</h1><table><tbody>");
        foreach (var (label, value) in Facts(("print.person", person), ("print.representative", representative)).Concat(printed.Facts))
            xhtml.Append(CultureInfo.InvariantCulture, $"<tr><th>{Encode(label)}</th><td>{Encode(value)}</td></tr>");
        xhtml.Append("</tbody></table><ul>");
        foreach (var line in printed.Means)
            xhtml.Append(CultureInfo.InvariantCulture, $"<li>{Encode(line)}</li>");
        return xhtml.Append("</ul></div>").ToString();
    }

    /// <summary>What a desk prints to be signed: the declaration, the informing text, and lines for the pen. XHTML, a whole document.</summary>
    /// <param name="printed">As it would be sent.</param>
    /// <param name="person">Name of the person; null: a line to write it on.</param>
    /// <param name="recordedBy">Name of the organisation at whose desk it is.</param>
    public string Form(PrintedDeclaration printed, string? person, string recordedBy)
    {
        var language = CultureInfo.CurrentUICulture.Name;
        var xhtml = new StringBuilder("<!DOCTYPE html>\n").Append(CultureInfo.InvariantCulture,
            $"<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"{language}\" xml:lang=\"{language}\"><head><meta charset=\"utf-8\"/><title>{Encode(printed.Title)}</title></head><body>");
        xhtml.Append(Narrative(printed, person ?? Line, null));
        foreach (var part in InformingText.Of(texts))
        {
            xhtml.Append(CultureInfo.InvariantCulture, $"<h2>{Encode(part.Title)}</h2>");
            xhtml.Append(part.Lines is [var only] ? $"<p>{Encode(only)}</p>" : $"<ul>{string.Concat(part.Lines.Select(line => $"<li>{Encode(line)}</li>"))}</ul>");
        }
        xhtml.Append(CultureInfo.InvariantCulture, $"<p>{Encode(texts["inform.law"])} {Encode(texts["inform.version", Informing.CurrentTextVersion])}</p><h2>{Encode(texts["print.sign"])}</h2><table><tbody>");
        foreach (var (label, value) in Facts(("print.born", Line), ("print.sign.place", Line), ("print.sign.name", Line), ("print.sign.desk", recordedBy), ("print.sign.by", Line)))
            xhtml.Append(CultureInfo.InvariantCulture, $"<tr><th>{Encode(label)}</th><td>{Encode(value)}</td></tr>");
        return xhtml.Append("</tbody></table></body></html>\n").ToString();
    }

    private static string StateOf(Declaration declaration, DateTimeOffset now, bool holds) =>
        declaration.IsActive && (declaration.IsOver(now) || declaration is Informing { IsCurrent: false }) ? "print.state.over"
        : declaration.IsActive && !declaration.HasBegun(now) ? "print.state.later"
        : !holds ? "print.state.other"
        : declaration.IsActive ? "print.state.active" : "print.state.withdrawn";

    private const string Line = "______________________________";

    private string Recorded(Declaration declaration) => declaration.RecordedBy is { } desk
        ? texts[declaration.IsSigned ? "print.recorded.signed" : "print.recorded.desk", names.Of(desk)] : texts["print.recorded.portal"];

    private static string? Period(Declaration declaration) => (declaration.From, declaration.Until) switch
    {
        (null, null) => null,
        var (from, until) => $"{(from is { } start ? Dates.Minute(start) : "")} – {(until is { } end ? Dates.Minute(end) : "")}".Trim(),
    };

    private IEnumerable<(string Label, string Value)> Facts(params IReadOnlyList<(string Key, string? Value)> facts) =>
        facts.Where(f => f.Value is { Length: > 0 }).Select(f => (texts[f.Key], f.Value!));

    private static string Encode(string text) => HtmlEncoder.Create(System.Text.Unicode.UnicodeRanges.All).Encode(text);
}
