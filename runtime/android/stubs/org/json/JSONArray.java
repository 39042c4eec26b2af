package org.json;

public class JSONArray {
    public JSONArray() {
        throw new UnsupportedOperationException();
    }

    public int length() {
        throw new UnsupportedOperationException();
    }

    public JSONObject getJSONObject(int index) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public JSONArray getJSONArray(int index) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public double getDouble(int index) throws JSONException {
        throw new UnsupportedOperationException();
    }
}
