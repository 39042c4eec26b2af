package org.json;

public class JSONObject {
    public JSONObject(String json) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public JSONObject getJSONObject(String name) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public JSONArray getJSONArray(String name) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public String getString(String name) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public int getInt(String name) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public double getDouble(String name) throws JSONException {
        throw new UnsupportedOperationException();
    }

    public boolean isNull(String name) {
        throw new UnsupportedOperationException();
    }
}
