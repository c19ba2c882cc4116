using System.Globalization;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>OBR, OBX, NTE; TXA.</summary>
sealed partial class MessageReading
{
    private const string OfReport = "DiagnosticReport", OfResult = "Observation", OfDocument = "DocumentReference";

    /// <summary>HL7 table 0123.</summary>
    private static readonly Dictionary<string, DiagnosticReport.DiagnosticReportStatus> ReportStates = new()
    {
        ["O"] = DiagnosticReport.DiagnosticReportStatus.Registered, ["I"] = DiagnosticReport.DiagnosticReportStatus.Registered, ["S"] = DiagnosticReport.DiagnosticReportStatus.Registered,
        ["A"] = DiagnosticReport.DiagnosticReportStatus.Partial, ["P"] = DiagnosticReport.DiagnosticReportStatus.Preliminary, ["R"] = DiagnosticReport.DiagnosticReportStatus.Preliminary,
        ["F"] = DiagnosticReport.DiagnosticReportStatus.Final, ["C"] = DiagnosticReport.DiagnosticReportStatus.Corrected, ["X"] = DiagnosticReport.DiagnosticReportStatus.Cancelled,
    };

    /// <summary>HL7 table 0085.</summary>
    private static readonly Dictionary<string, ObservationStatus> ResultStates = new()
    {
        ["F"] = ObservationStatus.Final, ["P"] = ObservationStatus.Preliminary, ["R"] = ObservationStatus.Preliminary, ["S"] = ObservationStatus.Preliminary, ["I"] = ObservationStatus.Registered,
        ["C"] = ObservationStatus.Corrected, ["U"] = ObservationStatus.Final, ["X"] = ObservationStatus.Cancelled, ["D"] = ObservationStatus.EnteredInError, ["W"] = ObservationStatus.EnteredInError,
    };

    private void ReadResults()
    {
        if (Required("OBR") is null)
            return;
        foreach (var orc in message.All("ORC"))
            foreach (var field in (ReadOnlySpan<int>)[1, 2, 3])
                orc.Text(field);
        foreach (var obr in message.All("OBR"))
        {
            obr.Text(1);
            var placer = IdOf(obr, 2, OfReport, isCx: false);
            if ((IdOf(obr, 3, OfReport, isCx: false) ?? placer) is not { } key)
            {
                message.Refuse(obr.At(3), Hl7ErrorCode.RequiredFieldMissing, "A report is named by the filler's order number, or by the placer's (OBR-2).");
                continue;
            }
            if (Concept(obr, 4, OfReport) is not { } code)
            {
                message.Refuse(obr.At(4), Hl7ErrorCode.RequiredFieldMissing, "A report says what was examined.");
                continue;
            }
            if (obr.Text(25, target: OfReport) is not { } state || !ReportStates.TryGetValue(state, out var status))
            {
                NotInTable(obr, 25, "table 0123");
                continue;
            }
            var report = new DiagnosticReport
            {
                Identifier = placer is null || placer.Value == key.Value ? [key] : [key, placer], Status = status, Code = code, Subject = _patient,
                Effective = Time(obr, 8, OfReport) is { } end ? new Period { StartElement = Time(obr, 7, OfReport), EndElement = end } : Time(obr, 7, OfReport),
                Issued = Moment(obr, 22, OfReport),
                ResultsInterpreter = Professional(obr, 32, OfReport) is { } interpreter ? [interpreter] : [],
            };
            OfServiceEvent(report);
            // A segment repeats its code where it repeats the question: each by its place among them.
            var seen = new Dictionary<string, int>();
            Hl7Segment? result = null;
            Observation? observation = null;
            foreach (var segment in After(obr))
                if (segment.Name == "OBX" && ReadResult(segment, key, seen) is var (read, id))
                {
                    (result, observation) = (segment, read);
                    observation.Effective ??= report.Effective?.DeepCopy() as DataType;
                    report.Result.Add(Add(observation, segment, id));
                }
                else if (segment.Name == "NTE" && segment.Text(3, target: OfResult) is not null)
                {
                    segment.Text(1);
                    var note = string.Join('\n', Enumerable.Range(1, segment.Repetitions(3)).Select(r => segment.Text(3, 1, r, target: observation is null ? OfReport : OfResult)).OfType<string>());
                    if (observation is not null)
                        observation.Note.Add(new() { Text = note });
                    else
                        report.Conclusion = report.Conclusion is null ? note : report.Conclusion + "\n" + note;
                }
            Add(report, obr, key);
        }
    }

    private (Observation, Identifier)? ReadResult(Hl7Segment obx, Identifier report, Dictionary<string, int> seen)
    {
        obx.Text(1);
        if (Concept(obx, 3, OfResult) is not { } code)
        {
            message.Refuse(obx.At(3), Hl7ErrorCode.RequiredFieldMissing, "A result says what was examined.");
            return null;
        }
        if (obx.Text(11, target: OfResult) is not { } state || !ResultStates.TryGetValue(state, out var status))
        {
            NotInTable(obx, 11, "table 0085");
            return null;
        }
        var what = $"{(code.Coding is [{ Code: { } coded }, ..] ? coded : code.Text)} {obx.Text(4, target: OfResult)}";
        var turn = seen[what] = seen.GetValueOrDefault(what) + 1;
        var key = new Identifier("urn:ietf:rfc:3986", Adapters.Transaction.UuidOf("hl7v2 result", organisation, report.System!, report.Value!, what, turn.ToString(CultureInfo.InvariantCulture)));
        var observation = new Observation
        {
            Identifier = [key], Status = status, Code = code, Subject = _patient, Effective = Time(obx, 14, OfResult), Value = ValueOf(obx),
            Category = [new("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
            Interpretation = [.. Enumerable.Range(1, obx.Repetitions(8)).Select(r => obx.Text(8, 1, r, target: OfResult)).OfType<string>().Select(static flag => new CodeableConcept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", flag))],
            ReferenceRange = obx.Text(7, target: OfResult) is { } range ? [RangeOf(range)] : [],
            Method = Concept(obx, 17, OfResult),
        };
        // obs-6
        if (observation.Value is null && status is ObservationStatus.Final or ObservationStatus.Corrected)
            observation.DataAbsentReason = new("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown");
        OfServiceEvent(observation);
        return (observation, key);
    }

    private DataType? ValueOf(Hl7Segment obx)
    {
        if (obx.IsEmpty(5))
        {
            obx.Text(2, target: OfResult);
            return null;
        }
        var type = obx.Text(2, target: OfResult);
        switch (type)
        {
            case "NM":
                if (obx.Text(5, target: OfResult) is not { } number)
                    return null;
                if (decimal.TryParse(number, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value))
                    return Quantity(obx, value, null);
                break;
            case "SN":
                var (comparator, first, separator) = (obx.Text(5, 1, target: OfResult), obx.Text(5, 2, target: OfResult), obx.Text(5, 3, target: OfResult));
                if (separator is null && comparator is null or "=" or "<" or ">" or "<=" or ">=" && decimal.TryParse(first, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var bound))
                    return Quantity(obx, bound, comparator);
                return new FhirString($"{comparator}{first}{separator}{obx.Text(5, 4, target: OfResult)} {obx.Text(6, 1, target: OfResult)}".Trim());
            case "CE" or "CWE" or "CNE" or "CF":
                return Concept(obx, 5, OfResult);
            case "DT" or "TS" or "DTM":
                return Time(obx, 5, OfResult);
            case "TM":
                if (obx.Text(5, target: OfResult) is { Length: 4 or 6 } clock && clock.All(char.IsAsciiDigit))
                    return new Time($"{clock[..2]}:{clock[2..4]}:{(clock.Length == 6 ? clock[4..] : "00")}");
                break;
            case "ST" or "TX" or "FT" or "IS" or "ID":
                return new FhirString(Lines(obx, 5, OfResult));
            case null:
                message.Refuse(obx.At(2), Hl7ErrorCode.RequiredFieldMissing, "OBX-2 says of which type OBX-5 is.");
                return null;
            default:
                message.Refuse(obx.At(2), Hl7ErrorCode.TableValueNotFound, "Values of this type are not taken here. Those that are: NM, SN, CE, CWE, CNE, DT, TM, TS, DTM, ST, TX, FT, IS, ID; a document as ED comes with MDM.");
                return null;
        }
        message.Refuse(obx.At(5), Hl7ErrorCode.DataType, "The value is not of the type that OBX-2 says.");
        return null;
    }

    private static Quantity Quantity(Hl7Segment obx, decimal value, string? comparator)
    {
        var quantity = new Quantity
        {
            Value = value,
            Comparator = comparator switch { "<" => Hl7.Fhir.Model.Quantity.QuantityComparator.LessThan, ">" => Hl7.Fhir.Model.Quantity.QuantityComparator.GreaterThan, "<=" => Hl7.Fhir.Model.Quantity.QuantityComparator.LessOrEqual, ">=" => Hl7.Fhir.Model.Quantity.QuantityComparator.GreaterOrEqual, _ => null },
        };
        if (obx.Text(6, target: OfResult) is not { } unit)
            return quantity;
        quantity.Unit = obx.Text(6, 2, target: OfResult) ?? unit;
        if (SystemOf(obx.Text(6, 3, target: OfResult)) is { } system)
            (quantity.System, quantity.Code) = (system, unit);
        return quantity;
    }

    /// <summary>As numbers where it is two of them, and as it was written.</summary>
    private static Observation.ReferenceRangeComponent RangeOf(string text)
    {
        var range = new Observation.ReferenceRangeComponent { Text = text };
        if (text.Split('-') is [var low, var high] && decimal.TryParse(low.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var from) && decimal.TryParse(high.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var to))
            (range.Low, range.High) = (new() { Value = from }, new() { Value = to });
        return range;
    }

    private static string Lines(Hl7Segment segment, int field, string target) =>
        string.Join('\n', Enumerable.Range(1, segment.Repetitions(field)).Select(r => segment.Text(field, 1, r, target: target) ?? ""));

    private void ReadDocument()
    {
        if (Required("TXA") is not { } txa || Required("OBX") is null)
            return;
        if (IdOf(txa, 12, OfDocument, isCx: false) is not { } key)
        {
            message.Refuse(txa.At(12), Hl7ErrorCode.RequiredFieldMissing, "A document is named by its unique number, best by its OID.");
            return;
        }
        txa.Text(1);
        var document = new DocumentReference
        {
            MasterIdentifier = key, Status = DocumentReferenceStatus.Current, Subject = _patient, Type = Concept(txa, 2, OfDocument),
            DocStatus = txa.Text(17, target: OfDocument) switch { "DI" or "IN" or "IP" or "PA" => CompositionStatus.Preliminary, "AU" or "LA" => CompositionStatus.Final, "DO" => CompositionStatus.Preliminary, _ => null },
            Date = Moment(txa, 6, OfDocument) ?? Moment(txa, 4, OfDocument), Author = Professional(txa, 9, OfDocument) is { } author ? [author] : [], Authenticator = Professional(txa, 22, OfDocument),
            Description = txa.Text(25, target: OfDocument),
        };
        if (IdOf(txa, 13, OfDocument, isCx: false) is { } replaced)
            document.RelatesTo = [new() { Code = DocumentRelationshipType.Replaces, Target = new() { Identifier = replaced } }];
        var text = new List<string>();
        foreach (var obx in message.All("OBX"))
        {
            obx.Text(1);
            Concept(obx, 3, OfDocument);
            obx.Text(11);
            if (obx.Text(2, target: OfDocument) == "ED")
            {
                if (ReadEncapsulated(obx) is not { } content)
                    return;
                Attach(document, content, obx);
            }
            else if (obx.Text(2) is "TX" or "FT" or "ST")
                text.Add(Lines(obx, 5, OfDocument));
            else
                message.Refuse(obx.At(2), Hl7ErrorCode.TableValueNotFound, "The content of a document is TX, FT, ST or ED.");
        }
        if (text.Count > 0)
            Attach(document, new() { ContentType = "text/plain; charset=utf-8", Data = System.Text.Encoding.UTF8.GetBytes(string.Join('\n', text)) }, message.First("OBX")!);
        if (document.Content.Count == 0)
        {
            message.Refuse(message.First("OBX")!.At(5), Hl7ErrorCode.RequiredFieldMissing, "The document has no content.");
            return;
        }
        OfServiceEvent(document);
        Add(document, txa, key);
    }

    private void Attach(DocumentReference document, Binary content, Hl7Segment obx)
    {
        // The same document again has the same content already.
        var binary = transaction.CopyOf<DocumentReference>(document.MasterIdentifier!)?.Content.Find(c => c.Attachment.SizeUnsignedInt == content.Data!.Length && c.Attachment.Hash.AsSpan().SequenceEqual(DigestOf(content)))?.Attachment.Url is { } known
            ? new(known) : transaction.Add(content, $"OBX {obx.Sequence}");
        document.Content.Add(new() { Attachment = new() { ContentType = content.ContentType, Url = binary.Reference, SizeUnsignedInt = content.Data!.Length, Hash = DigestOf(content) } });
    }

    // Attachment.hash is SHA-1 by the specification; what is stored is sealed by other means.
#pragma warning disable CA5350
    private static byte[] DigestOf(Binary content) => System.Security.Cryptography.SHA1.HashData(content.Data!);
#pragma warning restore CA5350

    /// <summary>ED: source application, type, subtype, encoding, data.</summary>
    private Binary? ReadEncapsulated(Hl7Segment obx)
    {
        obx.Text(5, 1, target: OfDocument);
        var (type, subtype, encoding, data) = (obx.Text(5, 2, target: OfDocument), obx.Text(5, 3, target: OfDocument), obx.Text(5, 4, target: OfDocument), obx.Text(5, 5, target: OfDocument));
        var bytes = encoding switch
        {
            "Base64" when data is not null => FromBase64(data),
            "A" when data is not null => System.Text.Encoding.UTF8.GetBytes(data),
            "Hex" when data is { Length: > 0 } && data.Length % 2 == 0 && data.All(char.IsAsciiHexDigit) => Convert.FromHexString(data),
            _ => null,
        };
        if (bytes is null)
        {
            message.Refuse(obx.At(5, 0, 5), Hl7ErrorCode.DataType, "The data are not what OBX-5.4 (Base64, Hex, A) says.");
            return null;
        }
        return new() { ContentType = (type?.ToUpperInvariant(), subtype?.ToUpperInvariant()) switch
        {
            (_, "PDF") => "application/pdf", (_, "JPEG" or "JPG") => "image/jpeg", (_, "PNG") => "image/png", (_, "TIFF") => "image/tiff", (_, "RTF") => "application/rtf", (_, "HTML") => "text/html", ("TEXT" or "TX", _) => "text/plain", (_, "XML" or "X-HL7-CDA-LEVEL-ONE") => "application/xml", _ => "application/octet-stream",
        }, Data = bytes };
    }

    private static byte[]? FromBase64(string text)
    {
        var bytes = new byte[text.Length / 4 * 3 + 3];
        return Convert.TryFromBase64String(text, bytes, out var length) ? bytes[..length] : null;
    }
}
