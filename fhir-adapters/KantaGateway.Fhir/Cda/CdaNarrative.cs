using System.Text;
using System.Xml.Linq;

namespace KantaGateway.Fhir.Cda;

/// <summary>XHTML of FHIR narratives as the narrative block of CDA R2 (its schema <c>NarrativeBlock.xsd</c>): paragraphs, lists, tables, and text. Pure.</summary>
/// <remarks>Links, images and styles go, and their words stay: nothing leads out of the document.</remarks>
static class CdaNarrative
{
    private static readonly XNamespace Hl7 = CdaAdapter.Hl7;

    /// <summary>What an element may hold by the schema.</summary>
    private enum Flow
    {
        /// <summary>Paragraphs, lists and tables too.</summary>
        Block,

        /// <summary>Text, with markup and line breaks.</summary>
        Inline,

        /// <summary>Text alone.</summary>
        Plain,
    }

    /// <summary>Adds a narrative to a section's text.</summary>
    /// <param name="div">XHTML.</param>
    /// <returns>False: there is nothing to read in it.</returns>
    public static bool Write(string? div, XElement text)
    {
        if (string.IsNullOrEmpty(div) || CdaXml.Read(Encoding.UTF8.GetBytes(div)).Root is not { } root || string.IsNullOrWhiteSpace(root.Value))
            return false;
        Write(root, text, Flow.Block);
        return true;
    }

    private static void Write(XElement from, XElement to, Flow flow)
    {
        foreach (var node in from.Nodes())
            if (node is XText words)
                to.Add(new XText(words.Value));
            else if (node is XElement inner)
                WriteOne(inner, to, flow);
    }

    private static void WriteOne(XElement element, XElement to, Flow flow)
    {
        switch (element.Name.LocalName)
        {
            case "br" or "hr":
                Break(to, flow);
                break;
            case "img":
                if (element.Attribute("alt")?.Value is { Length: > 0 } alternative)
                    to.Add(new XText(alternative));
                break;
            case "ul" or "ol" or "dl" when flow == Flow.Block:
                WriteList(element, to);
                break;
            case "table" when flow == Flow.Block:
                WriteTable(element, to);
                break;
            case "div" or "blockquote" or "p" or "pre" or "address" or "h1" or "h2" or "h3" or "h4" or "h5" or "h6" when flow == Flow.Block:
                WriteBlock(element, to);
                break;
            case "sub" or "sup" when flow != Flow.Plain:
                Add(element, to, element.Name.LocalName, Flow.Plain);
                break;
            case var inline when flow == Flow.Inline || flow == Flow.Block && IsInline(inline):
                // Where no block may stand, its words begin a line.
                if (!IsInline(inline) && inline is not ("td" or "th" or "tbody" or "thead" or "tfoot" or "caption" or "col" or "colgroup"))
                    Break(to, flow);
                if (element.Attribute("style")?.Value.Contains("line-through", StringComparison.Ordinal) is true)
                    Add(element, to, "content", Flow.Inline, new XAttribute("revised", "delete"));
                else if (StyleOf(inline) is { } style)
                    Add(element, to, "content", Flow.Inline, new XAttribute("styleCode", style));
                else if (inline is "span" or "a" or "code" or "tt")
                    Add(element, to, "content", Flow.Inline);
                else
                    Write(element, to, flow == Flow.Block ? Flow.Inline : flow);
                if (inline is "td" or "th")
                    to.Add(new XText(" "));
                break;
            default:
                Write(element, to, flow);
                break;
        }
    }

    private static void WriteBlock(XElement element, XElement to)
    {
        if (element.Elements().Any(static e => !IsInline(e.Name.LocalName) && e.Name.LocalName is not ("br" or "img")))
        {
            Write(element, to, Flow.Block);
            return;
        }
        var paragraph = new XElement(Hl7 + "paragraph");
        if (element.Name.LocalName is ['h', >= '1' and <= '6'])
        {
            var content = new XElement(Hl7 + "content", new XAttribute("styleCode", "Bold"));
            Write(element, content, Flow.Inline);
            paragraph.Add(content);
        }
        else
            Write(element, paragraph, Flow.Inline);
        if (paragraph.Nodes().Any())
            to.Add(paragraph);
    }

    private static void WriteList(XElement element, XElement to)
    {
        var list = new XElement(Hl7 + "list");
        if (element.Name.LocalName == "ol")
            list.Add(new XAttribute("listType", "ordered"));
        foreach (var item in element.Elements())
            Add(item, list, "item", Flow.Block);
        if (list.Elements().Any())
            to.Add(list);
    }

    private static void WriteTable(XElement element, XElement to)
    {
        var parts = new Dictionary<string, List<XElement>> { ["thead"] = [], ["tfoot"] = [], ["tbody"] = [] };
        foreach (var inner in element.Elements())
            if (inner.Name.LocalName == "tr")
                parts["tbody"].AddRange(RowOf(inner));
            else if (parts.TryGetValue(inner.Name.LocalName, out var rows))
                rows.AddRange(inner.Elements().Where(static e => e.Name.LocalName == "tr").SelectMany(RowOf));
        // A table has a body.
        if (parts["tbody"].Count == 0)
        {
            parts["tbody"] = [.. parts["thead"], .. parts["tfoot"]];
            parts["thead"] = parts["tfoot"] = [];
        }
        var caption = element.Elements().FirstOrDefault(static e => e.Name.LocalName == "caption");
        if (parts["tbody"].Count == 0)
        {
            if (caption is not null)
                Add(caption, to, "paragraph", Flow.Inline);
            return;
        }
        var table = new XElement(Hl7 + "table");
        if (caption is not null && !string.IsNullOrWhiteSpace(caption.Value))
            Add(caption, table, "caption", Flow.Plain);
        // In this order by the schema, whatever XHTML's was.
        foreach (var name in (ReadOnlySpan<string>)["thead", "tfoot", "tbody"])
            if (parts[name].Count > 0)
                table.Add(new XElement(Hl7 + name, parts[name]));
        to.Add(table);
    }

    private static IEnumerable<XElement> RowOf(XElement tr)
    {
        var row = new XElement(Hl7 + "tr");
        foreach (var cell in tr.Elements().Where(static e => e.Name.LocalName is "td" or "th"))
        {
            // A heading holds no paragraphs.
            var made = Add(cell, row, cell.Name.LocalName, cell.Name.LocalName == "td" ? Flow.Block : Flow.Inline);
            foreach (var span in (ReadOnlySpan<string>)["colspan", "rowspan"])
                if (cell.Attribute(span)?.Value is { Length: > 0 and < 4 } number && number.All(char.IsAsciiDigit))
                    made.Add(new XAttribute(span, number));
        }
        if (row.Elements().Any())
            yield return row;
    }

    private static XElement Add(XElement from, XElement to, string name, Flow flow, XAttribute? attribute = null)
    {
        var made = new XElement(Hl7 + name, attribute);
        Write(from, made, flow);
        to.Add(made);
        return made;
    }

    private static void Break(XElement to, Flow flow)
    {
        if (flow == Flow.Plain)
            to.Add(new XText(" "));
        else if (to.Nodes().Any())
            to.Add(new XElement(Hl7 + "br"));
    }

    private static string? StyleOf(string name) => name switch { "b" or "strong" => "Bold", "i" or "em" or "cite" or "dfn" or "var" => "Italics", "u" or "ins" => "Underline", _ => null };

    private static bool IsInline(string name) => name is "span" or "a" or "b" or "strong" or "i" or "em" or "cite" or "dfn" or "var" or "u" or "ins" or "q" or "code" or "tt" or "kbd" or "samp" or "big" or "small" or "abbr" or "acronym" or "bdo" or "sub" or "sup";
}
