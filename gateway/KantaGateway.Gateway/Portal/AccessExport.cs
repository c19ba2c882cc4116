using System.Globalization;
using System.Text;
using System.Text.Json;
using CsvHelper;
using CsvHelper.Configuration;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal;

/// <summary>Who has read the citizen's data, as a file of the citizen's own (Act 703/2023 §11; EHDS Art. 9).</summary>
internal sealed class AccessExport(AccessEvents events, Texts texts)
{
    /// <summary>Times 200 entries, which one file holds at most.</summary>
    internal const int MostStretches = 100;

    /// <summary>What lies further back is not printed: nobody reads a thousand pages.</summary>
    internal const int MostPrinted = 1_000;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true, DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull };

    /// <summary>A line for each entry of the log. Values that a spreadsheet would take for a formula are made text; the separator is the one that spreadsheets of the language expect.</summary>
    public byte[] Csv(AccessPart part)
    {
        var settings = new CsvConfiguration(CultureInfo.CurrentCulture) { InjectionOptions = InjectionOptions.Escape, NewLine = "\r\n", Delimiter = CultureInfo.CurrentUICulture.Name is "en" ? "," : ";" };
        using var file = new MemoryStream();
        using (var writer = new StreamWriter(file, new UTF8Encoding(encoderShouldEmitUTF8Identifier: true)))
        using (var csv = new CsvWriter(writer, settings))
        {
            Write(csv, texts["access.when"], texts["access.file.who"], texts["access.app.vendor"], texts["access.place"], texts["access.purpose"], texts["access.basis"], texts["access.what"], texts["access.file.entry"]);
            foreach (var line in part.Lines)
            {
                var told = events.Tell([line])[0];
                Write(csv, Dates.Minute(line.When), told.Who, told.Vendor, told.Place, told.Purpose, told.Basis, told.Deeds[0].What, line.Index.ToString(CultureInfo.InvariantCulture));
            }
            if (part.Before is not null)
                Write(csv, texts["access.file.older"]);
        }
        return file.ToArray();
    }

    /// <summary>For machines: what the log says, in its own words.</summary>
    public static byte[] Machine(AccessPart part, DateTimeOffset now) => JsonSerializer.SerializeToUtf8Bytes(new
    {
        made = now,
        isComplete = part.Before is null,
        olderThan = part.Before,
        entries = part.Lines.Select(line => new
        {
            entry = line.Index,
            when = line.When,
            organisation = new { oid = line.OrganisationOid, name = line.OrganisationName, unit = line.Unit },
            app = line.AppName,
            onBehalf = line.Representative?.Name,
            bySelf = line.BySelf,
            profession = line.Profession,
            interaction = line.Interaction,
            purposeOfUse = line.PurposeOfUse,
            legalBasis = line.LegalBasis,
            consent = line.ConsentId,
            items = line.Items.Select(item => new { item.Type, item.Id, version = item.VersionId, item.Controller, item.Register }),
        }),
    }, Json);

    public byte[] Pdf(AccessPart part)
    {
        var told = events.Tell(part.Lines);
        var fields = told.Take(MostPrinted).Select(one => ($"{Dates.Minute(one.When)} · {one.Who}", string.Join('\n', one.Deeds.Select(deed => deed.What)
            .Prepend(texts["access.file.grounds", one.Purpose, one.Basis]).Prepend(one.Place ?? "").Prepend(one.Vendor ?? "").Append(texts["access.file.entries", string.Join(", ", one.Lines.Select(line => line.Index))]).Where(text => text.Length > 0)))).ToList();
        if (told.Count > MostPrinted || part.Before is not null)
            fields.Add((texts["access.older"], texts["access.file.older"]));
        if (fields.Count == 0)
            fields.Add((texts["access.what"], texts["access.none"]));
        return PrintedForm.Write(texts["access.title"], fields, texts["download.pdf.lacking"]);
    }

    private static void Write(CsvWriter csv, params ReadOnlySpan<string?> values)
    {
        foreach (var value in values)
            csv.WriteField(value);
        csv.NextRecord();
    }
}
