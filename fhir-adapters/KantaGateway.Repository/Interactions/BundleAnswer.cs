using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>Names a row as the outside knows it; a row is named once and keeps its names while its compartment is open.</summary>
sealed class RowNames(IdentifierCipher identifiers)
{
    public string IdOf(Pseudonym compartment, CompartmentRow row) => row.First.Id ??= identifiers.ResourceId(compartment, row.Resource);

    public string VersionOf(Pseudonym compartment, CompartmentRow row) => row.VersionId ??= identifiers.VersionId(compartment, row.Sequence);

    public ManifestItem ItemOf(Pseudonym compartment, CompartmentRow row) =>
        new(row.Type, IdOf(compartment, row), VersionOf(compartment, row), row.Controller, Register: row.Register);
}

/// <summary>
/// Writes a Bundle around stored resources: their bytes go in as they are. Nothing in it depends on what is not in it, so
/// it has no id and no timestamp of its own.
/// </summary>
sealed class BundleAnswer : IDisposable
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.Create(UnicodeRanges.All), SkipValidation = true };

    private readonly ArrayBufferWriter<byte> _buffer;

    public BundleAnswer(string type, int sizeHint)
    {
        _buffer = new(Math.Max(256, sizeHint));
        Json = new(_buffer, Options);
        Json.WriteStartObject();
        Json.WriteString("resourceType"u8, "Bundle"u8);
        Json.WriteString("type"u8, type);
    }

    public Utf8JsonWriter Json { get; }

    /// <summary>Bytes written so far.</summary>
    public long Length => Json.BytesCommitted + Json.BytesPending;

    public void Total(int total) => Json.WriteNumber("total"u8, total);

    public void Links(params ReadOnlySpan<(string Relation, string? Url)> links)
    {
        Json.WriteStartArray("link"u8);
        foreach (var (relation, url) in links)
        {
            if (url is null)
                continue;
            Json.WriteStartObject();
            Json.WriteString("relation"u8, relation);
            Json.WriteString("url"u8, url);
            Json.WriteEndObject();
        }
        Json.WriteEndArray();
    }

    /// <summary>A stored resource as the value of <c>resource</c>.</summary>
    public void Resource(ReadOnlySpan<byte> body)
    {
        Json.WritePropertyName("resource"u8);
        Json.WriteRawValue(body, skipInputValidation: true);
    }

    /// <summary>An entry of a searchset.</summary>
    /// <param name="publicBase">The public FHIR base.</param>
    /// <param name="mode">match, include or outcome.</param>
    public void Found(string publicBase, ManifestItem item, ReadOnlySpan<byte> body, ReadOnlySpan<byte> mode)
    {
        Json.WriteStartObject();
        Json.WriteString("fullUrl"u8, $"{publicBase}/{item.Type}/{item.Id}");
        Resource(body);
        Mode(mode);
        Json.WriteEndObject();
    }

    /// <summary>Why an entry stands in a searchset.</summary>
    public void Mode(ReadOnlySpan<byte> mode)
    {
        Json.WriteStartObject("search"u8);
        Json.WriteString("mode"u8, mode);
        Json.WriteEndObject();
    }

    /// <summary>Closes the Bundle; the bytes belong to the caller.</summary>
    public ReadOnlyMemory<byte> Complete()
    {
        Json.WriteEndObject();
        Json.Flush();
        return _buffer.WrittenMemory;
    }

    public void Dispose() => Json.Dispose();
}
