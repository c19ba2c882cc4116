namespace KantaGateway.Gateway.Portal;

/// <summary>A part of the informing text.</summary>
/// <param name="Id">For headings to be named by.</param>
/// <param name="Lines">One paragraph, or a list.</param>
internal sealed record InformingPart(string Id, string Title, IReadOnlyList<string> Lines);

/// <summary>The informing text now in force (informointi, Act 703/2023 §68), as the page shows it and as it is printed.</summary>
internal static class InformingText
{
    public static IReadOnlyList<InformingPart> Of(Texts texts)
    {
        return [Paragraph("stored"), Paragraph("without"), List("permit", 5), List("denial", 5), Paragraph("log"), Paragraph("rights")];

        InformingPart Paragraph(string id) => new(id, texts[$"inform.{id}.title"], [texts[$"inform.{id}.text"]]);

        InformingPart List(string id, int count) => new(id, texts[$"inform.{id}.title"], [.. Enumerable.Range(1, count).Select(i => texts[$"inform.{id}.{i}"])]);
    }
}
