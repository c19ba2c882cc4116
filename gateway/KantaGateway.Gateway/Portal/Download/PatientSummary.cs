using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using System.Xml;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>
/// An International Patient Summary: a FHIR document for who treats the person elsewhere (hl7.org/fhir/uv/ips; EHDS Art. 14, 15). Put together by the service, so its author is a
/// Device. Entries are in it as places of care have recorded them.
/// </summary>
/// <remarks>No section says that there is nothing of a kind: that something is not in a record does not mean that it is not. Pure.</remarks>
internal sealed class PatientSummary(Texts texts, Func<Entry, EntryLine> lineOf)
{
    private static readonly HtmlEncoder Html = HtmlEncoder.Create(UnicodeRanges.All);

    /// <param name="id">Of the document.</param>
    /// <param name="fhir">Base address, under which its entries are known.</param>
    /// <param name="name">Of the person, where no place of care has registered her; null: not known.</param>
    public byte[] Write(SummaryContent content, Guid id, string fhir, string? name, DateTimeOffset now)
    {
        var file = new ArrayBufferWriter<byte>(64 << 10);
        using var json = new Utf8JsonWriter(file);
        var sections = SummarySection.All.Select(section => (Section: section, Content: content.Of(section))).Where(s => s.Section.IsAlways || s.Content.Entries.Count > 0).ToArray();
        var entries = sections.SelectMany(s => s.Content.Entries).ToArray();
        var (composition, author, patient) = (Address(Guid.NewGuid()), Address(Guid.NewGuid()), content.Patient is { } registered ? AddressOf(registered, fhir) : Address(Guid.NewGuid()));

        json.WriteStartObject();
        json.WriteString("resourceType"u8, "Bundle"u8);
        json.WriteString("id"u8, id);
        Identifier(json, id);
        json.WriteString("type"u8, "document"u8);
        json.WriteString("timestamp"u8, Dates.Machine(now));
        json.WriteStartArray("entry"u8);
        Entry(json, composition, () => Composition(json, id, composition, patient, author, sections, fhir, now));
        Entry(json, patient, () =>
        {
            if (content.Patient is { } of)
                json.WriteRawValue(JsonMarshal.GetRawUtf8Value(of.Resource), skipInputValidation: true);
            else
                Unregistered(json, patient, name);
        });
        Entry(json, author, () =>
        {
            json.WriteStartObject();
            json.WriteString("resourceType"u8, "Device"u8);
            json.WriteString("id"u8, author.Split(':')[^1]);
            json.WriteStartArray("deviceName"u8);
            json.WriteStartObject();
            json.WriteString("name"u8, texts["site.name"]);
            json.WriteString("type"u8, "user-friendly-name"u8);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        });
        foreach (var entry in entries.Concat(content.ReferredBy(entries)))
            Entry(json, AddressOf(entry, fhir), () => json.WriteRawValue(JsonMarshal.GetRawUtf8Value(entry.Resource), skipInputValidation: true));
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return file.WrittenSpan.ToArray();
    }

    private void Composition(Utf8JsonWriter json, Guid id, string address, string patient, string author, IEnumerable<(SummarySection Section, (IReadOnlyList<Entry> Entries, bool HasMore) Content)> sections, string fhir, DateTimeOffset now)
    {
        json.WriteStartObject();
        json.WriteString("resourceType"u8, "Composition"u8);
        json.WriteString("id"u8, address.Split(':')[^1]);
        json.WriteString("language"u8, CultureInfo.CurrentUICulture.Name);
        Narrative(json, $"<p>{Encode(texts["incomplete.title"])}. {Encode(texts["incomplete.text"])} {Encode(texts["incomplete.later"])}</p>");
        Identifier(json, id);
        json.WriteString("status"u8, "final"u8);
        json.WriteStartObject("type"u8);
        Coding(json, "http://loinc.org", "60591-5", "Patient summary Document");
        json.WriteEndObject();
        Reference(json, "subject"u8, patient);
        json.WriteString("date"u8, Dates.Machine(now));
        json.WriteStartArray("author"u8);
        Reference(json, author);
        json.WriteEndArray();
        json.WriteString("title"u8, texts["download.summary.title"]);
        json.WriteStartArray("section"u8);
        foreach (var (section, content) in sections)
        {
            json.WriteStartObject();
            json.WriteString("title"u8, texts[$"download.summary.{section.Name}"]);
            json.WriteStartObject("code"u8);
            Coding(json, "http://loinc.org", section.Loinc, null);
            json.WriteEndObject();
            var (entries, hasMore) = content;
            Narrative(json, entries.Count == 0 ? $"<p>{Encode(texts["download.summary.none"])}</p>"
                : $"<ul>{string.Concat(entries.Select(e => $"<li>{Encode(Line(lineOf(e)))}</li>"))}</ul>{(hasMore ? $"<p>{Encode(texts["download.summary.more", section.Most])}</p>" : "")}");
            if (entries.Count > 0)
            {
                json.WriteStartArray("entry"u8);
                foreach (var entry in entries)
                    Reference(json, AddressOf(entry, fhir));
                json.WriteEndArray();
            }
            else
            {
                json.WriteStartObject("emptyReason"u8);
                Coding(json, "http://terminology.hl7.org/CodeSystem/list-empty-reason", "unavailable", "Unavailable");
                json.WriteString("text"u8, texts["download.summary.none"]);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string Line(EntryLine line) => string.Join(" · ", new[] { line.Entry.When is { } when ? Dates.Of(when) : null, line.Title, line.Gist, line.Source }.OfType<string>());

    private static void Unregistered(Utf8JsonWriter json, string address, string? name)
    {
        json.WriteStartObject();
        json.WriteString("resourceType"u8, "Patient"u8);
        json.WriteString("id"u8, address.Split(':')[^1]);
        if (name is not null)
        {
            json.WriteStartArray("name"u8);
            json.WriteStartObject();
            json.WriteString("text"u8, name);
            json.WriteEndObject();
            json.WriteEndArray();
        }
        // A summary says when the person was born, or that it is not known (Patient-uv-ips).
        json.WriteStartObject("_birthDate"u8);
        json.WriteStartArray("extension"u8);
        json.WriteStartObject();
        json.WriteString("url"u8, "http://hl7.org/fhir/StructureDefinition/data-absent-reason"u8);
        json.WriteString("valueCode"u8, "unknown"u8);
        json.WriteEndObject();
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Entry(Utf8JsonWriter json, string address, Action resource)
    {
        json.WriteStartObject();
        json.WriteString("fullUrl"u8, address);
        json.WritePropertyName("resource"u8);
        resource();
        json.WriteEndObject();
    }

    private static void Identifier(Utf8JsonWriter json, Guid id)
    {
        json.WriteStartObject("identifier"u8);
        json.WriteString("system"u8, "urn:ietf:rfc:3986"u8);
        json.WriteString("value"u8, Address(id));
        json.WriteEndObject();
    }

    private static void Coding(Utf8JsonWriter json, string system, string code, string? display)
    {
        json.WriteStartArray("coding"u8);
        json.WriteStartObject();
        json.WriteString("system"u8, system);
        json.WriteString("code"u8, code);
        if (display is not null)
            json.WriteString("display"u8, display);
        json.WriteEndObject();
        json.WriteEndArray();
    }

    private static void Reference(Utf8JsonWriter json, ReadOnlySpan<byte> name, string address)
    {
        json.WritePropertyName(name);
        Reference(json, address);
    }

    private static void Reference(Utf8JsonWriter json, string address)
    {
        json.WriteStartObject();
        json.WriteString("reference"u8, address);
        json.WriteEndObject();
    }

    private static void Narrative(Utf8JsonWriter json, string xhtml)
    {
        var language = CultureInfo.CurrentUICulture.Name;
        json.WriteStartObject("text"u8);
        json.WriteString("status"u8, "generated"u8);
        json.WriteString("div"u8, $"<div xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"{language}\" xml:lang=\"{language}\">{xhtml}</div>");
        json.WriteEndObject();
    }

    /// <summary>What a clinic wrote, as text of XHTML, which has no control characters.</summary>
    private static string Encode(string text) => Html.Encode(string.Concat(text.EnumerateRunes().Where(rune => rune.Value > 0xFFFF || XmlConvert.IsXmlChar((char)rune.Value))));

    private static string Address(Guid id) => $"urn:uuid:{id:D}";

    private static string AddressOf(Entry entry, string fhir) => $"{fhir}/{entry.Type}/{entry.Id}";
}
